"""Can a deep plain network be as good as a shallow one, and how well does it learn to do nothing?

    python -m experiments.identity
    python -m experiments.identity --shallow=20 --deep=110 --seeds=3

`results`: a trained plain network is deepened by layers that are the identity, and has the same loss: so a deep network
that is as good exists. Beside it the deep network trained from scratch, and residual ones, all with batch norm. `maps`:
networks of growing depth, without stem and head, are trained to give their Gaussian input back; the error is relative
to the input's square, 1 being that of the answer zero.

Found, in two minutes on 2 CPU cores: the deep plain network trained from scratch is worse than the deepened one. Plain
networks do not learn the identity at any depth (2 layers: error 0.7). Residual ones with He's weights do at 2 layers
(0.003, with batch norm 0.04) and no more at 18: 400 steps do not remove what random branches add. ReZero starts there.

Not shown: what a learning rate for each depth, or more steps, would give; other data than the 8×8 digits.
"""

import dataclasses
import itertools
import statistics

from resjax import lab, probes
from resjax.lab.config import Running, Training
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text, whole
from resjax.lab.trial import Start, Trial
from resjax.system.errors import UserError

TABLES = {
    "results": {"network": text("plain or residual; trained, or deepened by identity layers")}
    | columns("depth", "seed", "train_loss", "train_accuracy", "test_accuracy"),
    "maps": columns("connection", "norm", depth=whole("weighted layers, all of them in blocks"))
    | columns("seed", first_error=number("‖f(x) − x‖² / ‖x‖² before training"), last_error=number("and after it")),
}
USUAL = {"network": "dense", "block": "", "activation": "relu", "survival": "none", "spectral_norm": 0.0}


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    shallow: int = option(20, "weighted layers of the network that is deepened", minimum=4)
    deep: int = option(56, "weighted layers that it is deepened to", minimum=4)
    order: str = option("post", "norm and activation of the deepened network", choices=("post",))
    depths: tuple[int, ...] = option((2, 8, 18, 54), "layers, in blocks, of what learns the identity", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual", "rezero"), "connections of these networks")
    norms: tuple[str, ...] = option(("none", "batch"), "normalisations of these networks")
    map_steps: int = option(400, "steps of Adam, with batches of --batch_size, for the identity", minimum=1)
    map_rate: float = option(0.001, "their learning rate", minimum=0)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)

    def __post_init__(self):
        super().__post_init__()
        for name, value in USUAL.items():
            if getattr(self, name) != value:
                raise UserError(f"--{name}={getattr(self, name)}: added layers are the identity with {value!r} only")
        if self.deep <= self.shallow:
            raise UserError(f"--deep={self.deep}: must be more than --shallow={self.shallow}")


@dataclasses.dataclass(frozen=True)
class Deepened:
    """A network that is trained and then deepened by identity layers, up to `depth`."""

    shallow: Trial
    depth: int


def trials(config: Config) -> list[Trial | Deepened | Start]:
    """What is trained, then what is deepened, then what learns the identity; stem and head count, but for maps."""
    seeds = range(config.seeds)
    trained = [
        Trial.of(config, connection=connection, norm="batch", depth=depth, seed=seed)
        for connection, depth, seed in itertools.product(("plain", "residual"), (config.shallow, config.deep), seeds)
    ]
    maps = [
        Start.of(config, connection=connection, norm=norm, depth=depth + 2, seed=seed, order="pre")
        for connection, norm, depth, seed in itertools.product(config.connections, config.norms, config.depths, seeds)
    ]
    return [*trained, *(Deepened(shallow, config.deep) for shallow in trained[: config.seeds]), *maps]


def refuse(trial: Trial | Deepened | Start, config: Config):
    """Raises UserError: the network cannot be."""
    if not isinstance(trial, Deepened):  # its network is planned as a trial
        (lab.plan if isinstance(trial, Trial) else lab.start).plan(trial)


def rows(bench, trial: Trial | Deepened | Start, config: Config):
    """Trains it, or deepens what is trained and did not diverge, or lets it learn the identity."""
    match trial:
        case Trial():
            yield "results", bench.train(trial) | {"network": f"{trial.connection}, trained"}
        case Deepened(shallow, depth) if bench.train(shallow)["diverged"] is None:
            row = {"network": "plain, deepened", "seed": shallow.seed}
            yield "results", row | bench.once(deepen, shallow, when="trained", depth=depth)
        case Start():
            chosen = {"steps": config.map_steps, "rate": config.map_rate, "batch_size": config.batch_size}
            yield "maps", bench.once(learn, trial, **chosen) | {"depth": trial.depth - 2}


def deepen(trial: Trial, snapshot, depth: int) -> dict[str, float]:
    """Loss and accuracies of the trained network with identity layers behind its own, `depth` layers in all."""
    from resjax.training.evaluation import evaluate

    network = lab.registry.network(dataclasses.replace(trial, depth=depth), snapshot.data.classes)
    weights = probes.identity.deepen(snapshot.params, snapshot.state, network.length)
    loss, accuracy = evaluate(network, *weights, snapshot.data.train)
    _, test_accuracy = evaluate(network, *weights, snapshot.data.test)
    return {"train_loss": loss, "train_accuracy": accuracy, "test_accuracy": test_accuracy}


def learn(trial: Start, **options) -> dict[str, float]:
    """The relative errors, before and after training, of the trial's blocks as a model of the identity."""
    import jax

    network = lab.registry.network(trial, classes=1)
    return probes.identity.learn(network, trial.width, key=jax.random.key(trial.seed), **options)


def summary(tables):
    """Means over the seeds."""
    named = tables["results"].groupby(["network", "depth"], sort=False)
    return named.mean().drop(columns="seed").reset_index(), "identity layers"


def draw(tables, canvas):
    """Left: training loss, trained and deepened. Right: error of the learned identity against depth."""
    bars = tables["results"].groupby(["network", "depth"])["train_loss"].mean()[::-1]  # from below
    maps = tables["maps"].assign(error=lambda table: table["last_error"].clip(lower=1e-8))  # else ReZero's is far below
    with canvas.figure(panels=2, height=2.7, note="bars and lines: means over the seeds") as (left, right):
        left.barh(range(len(bars)), bars.to_numpy(), 0.6, color=lab.figures.COLORS[0], alpha=0.6)
        left.set_yticks(range(len(bars)), [f"{network}: {depth} layers" for network, depth in bars.index])
        left.set(xlabel="training loss")
        color = lab.figures.colors(maps["connection"])
        style = lab.figures.styles(maps["norm"])
        for (connection, norm), rows in maps.groupby(["connection", "norm"], sort=False):
            error = rows.groupby("depth")["error"].agg(statistics.geometric_mean)
            right.plot(error, style[norm], marker="o", color=color[connection], label=f"{connection}, {norm}")
        right.axhline(1, color="k", linewidth=0.5)
        right.set(yscale="log", xlabel="layers, in blocks", ylabel="error of the learned identity")
        lab.figures.log_ticks(right, maps["depth"])
        right.legend()


STUDY = Study(Config, TABLES, trials, rows, draw, summary, refuse)

if __name__ == "__main__":
    STUDY.main()
