"""What does it cost a residual network to be invertible, and can images be read back from its last feature map?

    python -m experiments.invertible_resnet
    python -m experiments.invertible_resnet --steps=200,600 --learning_rates=0.03,0.1,0.3 --seeds=5
    python -m experiments.invertible_resnet --dataset=fashion_mnist --examples=10000 --steps=400 --remat=dots_saveable

Networks of the shape of i-ResNets (Behrmann et al. 2019, arXiv 1811.00995, section 5.1: padding stem, blocks of 3×3,
1×1 and 3×3 convolutions with ELU and no norm, stages joined by squeezing), each of whose layers has a spectral norm of
at most c, are trained as classifiers, and one without that bound. Then held-out images go through all blocks and are
computed back from what comes out, block by block (see `resjax.probes.inversion`).

Found, with the second command, in 28 minutes on 2 CPU cores, five seeds, each at the best of three rates: a bound c of
.5 costs accuracy, the less the longer training lasts. Training images are right to 91.2 ± .3 % after 200 steps and to
95.6 ± .6 % after 600. A bound of .9 costs nothing that is seen: hardly one is wrong then, nor without a bound. Blocks
of three such layers have constants of at most c³, within .1 %, and every image comes back to within 10⁻¹², in up to 69
iterations a block. Without a bound a block stretches by at least 6 to 540, and in no network do all images come back.

Not shown: more than 600 steps; rates above 0.3, which is the best of all bounds; whether wider networks pay less.
"""

import dataclasses

import numpy as np

from resjax import lab, nn, probes
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import RECOVERED, columns, number, records, whole
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES
from resjax.system.errors import UserError

KEY = columns("spectral_norm", "depth", "seed", "learning_rate", "at_edge", steps=whole("of training"))
TRAINED = columns("diverged", "train_accuracy", "test_accuracy", *RECOVERED)
PLACE = {name: whole("from 0") for name in ("image", "row", "column", "channel")}
PIXEL = {
    "input": number("a held-out image, in standard deviations of the training images"),
    "inverse": number("likewise"),
}
TABLES = {
    "results": KEY | TRAINED,
    "pictures": columns("spectral_norm", **PLACE, **PIXEL),
    "rates": columns("spectral_norm") | RATES,
}
ACCURACIES = {"train_accuracy": "training images", "test_accuracy": "held-out images"}
ERRORS = 1e-16, 1e2  # of the inverse: the figure's limits


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    network: str = option("iresnet", "the architecture, whose blocks must keep the shape of the stream")
    depths: tuple[int, ...] = option((19,), "weighted layers of each network", minimum=1)
    width: int = option(4, "filters of the first stage; the next two have 4 and 16 times as many", minimum=1)
    connections: tuple[str, ...] = option(("residual",), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("none",), "normalisations, as in depth_scaling")
    activation: str = option("elu", "a name of jax.nn")
    spectral_norm: tuple[float, ...] = option(
        (0.9, 0.7, 0.5, 0.0), "bounds on the spectral norm of every layer of a branch, below 1; 0: none", minimum=0
    )
    steps: tuple[int, ...] = option((200,), "training steps: a network for each", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)
    images: int = option(8, "held-out images that are computed back, and shown", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks to train."""
    return [
        Trial.of(config, steps=steps, depth=depth, connection=connection, norm=norm, spectral_norm=bound, seed=seed)
        for steps in config.steps
        for depth in config.depths
        for connection in config.connections
        for norm in config.norms
        for bound in config.spectral_norm
        for seed in range(config.seeds)
    ]


def refuse(trial: Trial, config: Config):
    """Raises UserError: what `inverses.planned` refuses, a stem without an inverse, or too many images."""
    network, _, dataset, _, _ = lab.inverses.planned(trial)
    if not isinstance(network.stem, nn.stems.PaddingStem):
        raise UserError(f"--network={config.network}: its stem has no inverse; use iresnet")
    if config.images > len(dataset.test):
        raise UserError(f"--images={config.images}: {config.dataset} has {len(dataset.test)} held-out images")


def rows(bench, trial: Trial, config: Config):
    """Trains it, and computes images back."""
    trained = bench.train(trial)
    found = {}
    if trained["diverged"] is None:
        found = bench.once(measure, trial, when="trained", images=config.images)
    yield "results", trained | found
    if found and not trial.seed and (trial.steps, trial.depth) == (config.steps[-1], config.depths[0]):
        pairs = {name: np.array(found[name]) for name in PIXEL}  # N H W C
        places = np.indices(pairs["input"].shape).reshape(4, -1)
        shown = dict(zip(PLACE, places, strict=True)) | {name: values.ravel() for name, values in pairs.items()}
        yield from (("pictures", row) for row in records(shown))


def measure(trial: Trial, snapshot, images: int) -> dict:
    """What `probes.recovery` says of the first held-out images; these, and their inverses, N H W C."""
    import jax

    batch, _ = next(snapshot.data.test.all(images))
    weights = snapshot.network, snapshot.params, snapshot.state
    with jax.enable_x64(True):
        found = probes.recovery.recover(*weights, batch.astype("float64"), jax.random.key(trial.seed))
    inverse = found.inverse.x[..., : batch.shape[-1]]  # without what the stem padded
    return probes.recovery.measures(found) | {"input": batch.tolist(), "inverse": inverse.tolist()}


def summary(tables):
    """A row a bound and number of steps."""
    kinds = tables["results"].groupby(["steps", "spectral_norm"], sort=False)
    shown = lab.statistics.summarised(kinds, ["test_accuracy", "lipschitz_upper", "inverse_error"])
    return shown, "images computed back from the last feature map: means ± 95 % t intervals over the seeds"


def draw(tables, canvas):
    """Against c: accuracy (left), error of the inverse (right), a colour a number of steps; and the images."""
    results = tables["results"]
    bounds = list(results["spectral_norm"].unique())
    results = results.assign(place=results["spectral_norm"].map(bounds.index))
    color = lab.figures.colors(results["steps"])
    note = "accuracies: means, 95 % t intervals; errors: the largest"
    with canvas.figure(panels=2, height=2.7, note=note) as axes:
        axes[0].set(ylabel="accuracy", xlabel="bound c on every layer", ylim=(None, 1.01))
        axes[1].set(yscale="log", ylabel="largest error of the inverse", xlabel="bound c on every layer")
        for axis in axes:
            axis.set_xticks(range(len(bounds)), [f"{bound:g}" if bound else "none" for bound in bounds])
        for steps, rows in results.groupby("steps", sort=False):
            places = rows.groupby("place")
            for style, (column, images) in zip(("s:", "o-"), ACCURACIES.items(), strict=True):
                look = {"color": color[steps], "label": f"{images}, {steps} steps"}
                lab.figures.line(axes[0], places[column], style, **look)
            errors = places["inverse_error"].max()
            lab.figures.leaving(axes[1], errors.index, errors, ERRORS, "o-", color=color[steps])
        lab.legends.legend(axes, columns=2)
    if len(tables["pictures"]):
        lab.pictures.draw(tables["pictures"], canvas)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, refuse, tuned=True, images=True)

if __name__ == "__main__":
    STUDY.main()
