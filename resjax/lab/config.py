"""What the configurations of experiments are made of: where it runs, what a network is made of, how it is trained."""

import dataclasses
import math

from resjax.lab import names, presets
from resjax.lab.defaults import NETWORKS, OUTSIDE, STYLE
from resjax.lab.options import Options, option
from resjax.system.errors import UserError

ALL = "1/1"  # the shard that is everything: of a process that trains and measures, and leaves the tables to another


@dataclasses.dataclass(frozen=True)
class Writing(Options):
    """Where the tables of a command go: nothing of this changes what it asks."""

    workdir: str = option("", "where tables and figures go (default: runs/EXPERIMENT-HASH)", changes_results=False)
    plot_only: bool = option(False, "draw the figures again from the tables", changes_results=False)


@dataclasses.dataclass(frozen=True)
class Running(Writing):
    """Which networks an experiment trains, and on how many machines."""

    store: str = option(
        "", "where networks are kept and found again (default: runs/store, or WORKDIR/store)", changes_results=False
    )
    sweep: str = option("", "values of any options, and their product: 'learning_rate=0.1,0.05 width=64,128'")
    workers: int = option(
        1, "processes that share the work, and cores or GPUs, on this machine", minimum=1, changes_results=False
    )
    shard: str = option(
        "",
        "i/n: train only every n-th network from the i-th on, for processes that share no locks",
        changes_results=False,
    )
    compile_cache: str = option(
        "", "where compiled programs are kept for the next start (default: STORE/compiled)", changes_results=False
    )
    distributed: bool = option(
        False,
        "run on several machines, this command on each, with one work directory that all see; a TPU, Slurm and GKE "
        "tell who they are, elsewhere --coordinator, --processes and --process do",
        changes_results=False,
    )
    coordinator: str = option("", "HOST:PORT of process 0, a port that no firewall closes", changes_results=False)
    processes: int = option(0, "how many there are, with --coordinator", minimum=0, changes_results=False)
    process: int = option(0, "which one this is, with --coordinator", minimum=0, changes_results=False)
    startup: int = option(300, "seconds that processes wait for each other", minimum=1, changes_results=False)
    heartbeat: int = option(
        100, "seconds after which a silent process counts as dead", minimum=1, changes_results=False
    )

    def __post_init__(self):
        super().__post_init__()
        if self.coordinator and not self.distributed:
            raise UserError(f"--coordinator={self.coordinator}: goes with --distributed")
        for name in ("processes", "process"):
            if getattr(self, name) and not self.coordinator:
                raise UserError(f"--{name}={getattr(self, name)}: goes with --coordinator")
        if self.workers > 1 and self.distributed:
            raise UserError(f"--workers={self.workers}: processes share networks, or with --distributed each network")
        if self.shard and self.plot_only:
            raise UserError(f"--shard={self.shard}: has no tables that --plot_only could draw")
        self.dealt()

    def dealt(self) -> slice:
        """Which of all networks --shard deals to this process.

        Raises:
          UserError: a shard that cannot be.
        """
        number, _, count = (self.shard or ALL).partition("/")
        if not (number.isdecimal() and count.isdecimal()) or not 1 <= int(number) <= int(count):
            raise UserError(f"--shard={self.shard}: must be i/n with i from 1 to n")
        return slice(int(number) - 1, None, int(count))


@dataclasses.dataclass(frozen=True)
class Architecture(Options):
    """What a network is made of, but for what the experiments vary (`trial.Varied`)."""

    network: str = option(
        "dense",
        "dense, resnet (6n+2), preact (6n+2), bottleneck (9n+2), wide(factor=10) (6n+4), iresnet (9n+1), "
        "imagenet (18 to 152), transformer(heads=4,places='rotary',ratio=4,gated=False,parallel=False,tied=False) "
        "(4n+2, of tokens), vit(patch=4,heads=4) (4n+2, of images)",
    )
    block: str = option(
        "",
        "a block of your own in place of a branch, package.module:Name, a Linen module (x, train) -> y: its F(x) is "
        "y − x, so connection residual is the block itself; --norms, --order, --activation and the like reach stem, "
        "head and blocks that change the size alone",
    )
    branch: str = option(
        "", "what a block computes: dense(layers=3), crl (4 layers), basic, bottleneck; default: the network's own"
    )
    width: int = option(0, "units or filters of the stem; 0: the network's own (64 or 16)", minimum=0)
    activation: str = option("relu", "relu, tanh, gelu, silu, …: a name of jax.nn; or crelu")
    order: str = option(
        "",
        "where norm and activation stand: pre, post, norm_after_addition, activation_before_addition, "
        "activation_only_pre, between; with the sum's scale and the start that belong to them deepnorm, keel, lns, "
        "peri, rezero, mix_ln(share=0.25), layerscale, scaled(power=0.5), complete_p(base=4); default: the "
        "network's own",
    )
    shortcut: str = option(
        "",
        "what joins sizes that differ: pad (option A), projection (B), orthogonal (a projection that starts so), "
        "max_pool (3×3 pixels, then as pad), avg_pool (stride×stride pixels, then as pad); default: the network's",
    )
    projections: int = option(0, "blocks, spread evenly, whose skip is --shortcut too though the size stays", minimum=0)
    initializer: str = option(
        "",
        "he_normal, xavier_normal, orthogonal, delta_orthogonal, looks_linear (with activation crelu), fixup, "
        "torch_resnet(mode='fan_out') (the papers' ResNets), variance_scaling(scale=1.5,mode='fan_in'), "
        "normal(stddev=0.1), zeros, constant(value=0.1); default: he_normal, of transformers xavier_normal",
    )
    bias_initializer: str = option("zeros", "of the biases of dense layers: zeros, normal(stddev=0.1)")
    spectral_norm: float = option(
        0.0, "a bound c on the spectral norm of every layer of a branch, W / max(1, σ/c); 0: none", minimum=0
    )
    looped: bool = option(False, "the blocks of a stage share one set of weights: it is a loop over one block")
    remat: str = option(
        "nothing_saveable",
        "what a block keeps for the backward pass: a name of jax.checkpoint_policies, or '' for everything",
    )
    dtype: str = option(
        "float32", "what the network computes in; weights and loss are float32", choices=("float32", "bfloat16")
    )
    stream: str = option(
        "",
        "what stem, head and the stream are kept in where branches compute in bfloat16: float32; default: as --dtype",
        choices=("", "float32"),
    )

    def __post_init__(self):
        super().__post_init__()
        for name in STYLE:
            value = getattr(self, name, "")
            if self.block and isinstance(value, tuple) and len(value) > 1:
                raise UserError(f"--{name}={','.join(map(str, value))}: {OUTSIDE.format(self.block)} {name}")
        own = NETWORKS.get(names.parse(self.network, "network")[0], NETWORKS["dense"])
        for name, value in own.items():  # so that the record says what the network was made of
            object.__setattr__(self, name, getattr(self, name) or value)


@dataclasses.dataclass(frozen=True)
class Optimization(Architecture):
    """On what, and how, a network is trained."""

    preset: str = option("", f"a paper's recipe, {presets.SHOWN}; flags beside it win", changes_results=False)
    dataset: str = option(
        "digits",
        "digits, mnist1d, iterated(times=4), hops(k=2), of tokens text(window=128) (the bytes of Python's help), "
        "text:PATH and induction(hops=2), any image-classification set of TensorFlow Datasets, npz:PATH (arrays images "
        "and labels, or x_train, y_train, x_test and y_test), folder:PATH (of pictures, a folder a class), or "
        "package.module:function that gives (images, labels), two such pairs or a Dataset",
    )
    train_split: str = option("", "what trains, as train[:80%] or train+validation; default: train")
    test_split: str = option("", "what tests, as train[80%:]; default: test or validation, else a sixth of what trains")
    task: str = option(
        "",
        "what is learned: classification, regression, language_model, or package.module:function that gives a "
        "resjax.training.tasks.Task; default: what the targets are for",
    )
    data_dir: str = option("", "where prepared TFDS sets lie (default: ~/tensorflow_datasets)", changes_results=False)
    examples: int = option(0, "train on the first so many images only; 0: on all", minimum=0)
    random_labels: float = option(
        0.0, "share of the training images whose label is drawn at random, the same for all seeds", minimum=0, maximum=1
    )
    image_size: int = option(224, "sides of the images of a set that is streamed", minimum=1)
    readers: int = option(
        4, "processes that read a set that is streamed; 0: none beside the main", minimum=0, changes_results=False
    )
    augment: tuple[str, ...] = option(("none",), "random changes of the training images: crop(pad=4), flip")
    survival: str = option(
        "none",
        "stochastic depth, the probability with which training keeps a block: none, linear(last=0.5), uniform(p=0.5), "
        "stage(number=1,p=0.5), package.module:function of lengths, the blocks of each stage, that gives L numbers",
    )
    drop: str = option(
        "batch",
        "what training drops: batch, a block for the whole batch, not computed then; sample, a block for each example "
        "by itself, which saves no time; subset, a block for a random part of the batch, the same p in all of a stage",
        choices=("batch", "sample", "subset"),
    )
    scaling: str = option(
        "test",
        "what F(x) is multiplied by: test, p in evaluation, as in the paper; inverted, 1/p in training",
        choices=("test", "inverted"),
    )
    optimizer: str = option("sgd", "sgd(momentum=0.9,nesterov=False), adam or adamw, with arguments of optax")
    learning_rate: float = option(0.05, "peak learning rate", minimum=0)
    schedule: str = option("constant", "constant, cosine, linear, or step(at=(0.5,0.75),factor=0.1)")
    warmup_steps: int = option(0, "steps over which the learning rate rises from zero", minimum=0)
    weight_decay: float = option(0.0, "weight decay (decoupled for adamw), of the parameters of --decay", minimum=0)
    decay: str = option(
        "all",
        "what decays: all parameters, or matrices and kernels alone, no biases, norms or connections' scalars",
        choices=("all", "matrices"),
    )
    label_smoothing: float = option(
        0.0, "probability that training's labels spread evenly over all classes", minimum=0, maximum=1
    )
    ema: float = option(
        0.0,
        "networks are measured with the exponential moving average of their weights, of this decay; 0: with the last; "
        "batch norm's statistics are those of the last in any case",
        minimum=0,
        maximum=0.999999,
    )
    clip_norm: float = option(0.0, "clip the gradient's global norm; 0 does not clip", minimum=0)
    batch_size: int = option(64, "examples a step", minimum=1)
    steps: int = option(200, "training steps", minimum=1)


@dataclasses.dataclass(frozen=True)
class Training(Optimization):
    """How one network is built and trained: where the configuration of an experiment that trains starts."""

    mesh: str = option(
        "", "devices that train a network, as data:8; default: all, as far as they split a batch", changes_results=False
    )
    fsdp: bool = option(
        False, "split weights and momenta over the devices, too: less memory, more traffic", changes_results=False
    )
    checkpoint_every: int = option(500, "steps between checkpoints", minimum=1, changes_results=False)
    log_every: int = option(20, "steps between the points of the learning curves", minimum=1)
    tensorboard: bool = option(False, "also write the metrics for TensorBoard", changes_results=False)


@dataclasses.dataclass(frozen=True)
class Watching(Options):
    """What an experiment looks at while its networks train; stands before `Training`."""

    evaluate_every: int = option(
        0, "steps between measurements of training and test error, of all images; 0: none but at the end", minimum=0
    )
    probe_every: int = option(
        0, "steps between looks at activations and gradients, block by block, on one batch; 0: none", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class Tuning(Options):
    """How an experiment that compares families gives each its learning rate; stands before `Training`."""

    learning_rate: float = option(
        0.0, "one peak learning rate for all networks; 0: the best of --learning_rates for each", minimum=0
    )
    learning_rates: tuple[float, ...] = option(
        (0.001, 0.01, 0.1),
        "peak learning rates, of which each family and depth is judged at the best: that of the least mean training "
        "loss over the seeds",
        minimum=1e-30,
    )

    def __post_init__(self):
        super().__post_init__()
        usual = next(field.default for field in dataclasses.fields(self) if field.name == "learning_rates")
        if self.learning_rate and self.learning_rates != usual:
            raise UserError(f"--learning_rate={self.learning_rate:g}: goes without --learning_rates")

    @property
    def rates(self) -> tuple[float, ...]:
        """The rates to choose from, in rising order."""
        return (self.learning_rate,) if self.learning_rate else tuple(sorted(self.learning_rates))


@dataclasses.dataclass(frozen=True)
class Probing(Architecture):
    """How networks are read at their start: where the configuration of an experiment without training starts."""

    inputs: tuple[int, ...] = option(
        (8, 8, 1),
        "height, width and channels of the inputs, which are Gaussian; or the number of random tokens, as 64",
        minimum=1,
        distinct=False,
    )
    pairs: int = option(32, "pairs of inputs: a batch is two times as many", minimum=1)
    cosine: float = option(0.5, "between the two inputs of a pair, at the start", minimum=-1, maximum=1)
    x64: bool = option(True, "compute in float64: signals that explode or vanish leave the range of float32")

    def __post_init__(self):
        super().__post_init__()
        if len(self.inputs) > 1 and math.prod(self.inputs) == 1:
            raise UserError(f"--inputs={','.join(map(str, self.inputs))}: one number has no direction; give more")
