"""Can a deep plain network be as good as a shallow one, and how well does it learn to do nothing?

    python -m experiments.identity

`results`: a trained plain network, deepened by layers that are the identity, has the same loss: so a deep network that
is as good exists. Beside it networks trained from scratch, with batch norm. `maps`: networks without stem, head and
norm learn to give their Gaussian input back; zero as the answer has an error of 1. Blocks of order `between` can be the
identity (see `probes.identity.learn`). Plain ones of order `pre` see their input behind a ReLU: .18 is the least error.
All are judged at their rates of least training loss.

Found, in four minutes on 2 CPU cores, with five seeds (--seeds=5), 95 % t intervals: the deepened plain network keeps
its loss, .15; 56 plain layers from scratch end at 2.2 ± .2. Plain networks learn the identity with 2 layers, to an
error of .0002. With 4 they come to .23 ± .09 in 2000 steps, with 16 to .80. Residual ones come to .01 in 40 steps at 2
layers and in 530 ± 440 at 8, but not at 16. Those of order `pre` do so there, too, in 840 ± 550.

Not shown: what more steps, norms or other widths give; other data than the 8×8 digits.
"""

import dataclasses
import itertools

import numpy as np

from resjax import lab, probes, training
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text, whole
from resjax.lab.trial import Start, Trial
from resjax.system.errors import UserError

TABLES = {
    "results": {"network": text("plain or residual; trained, or deepened by identity layers")}
    | columns("depth", "seed", "learning_rate", "at_edge", "train_loss", "train_accuracy", "test_accuracy"),
    "maps": columns(
        *("connection", "order", "seed", "learning_rate", "at_edge"), depth=whole("weighted layers, all in blocks"),
        first_error=number("‖f(x) − x‖² / ‖x‖² before training"), last_error=number("and after it"),
        steps=number("to an error of .01, at the soonest of the rates; empty if there were too few"),
    ),
}  # fmt: skip
USUAL = {"network": "dense", "block": "", "activation": "relu", "survival": "none", "spectral_norm": 0, "looped": False}
PANELS = {"last_error": ("error of the learned identity", (1e-9, 3)), "steps": ("steps to an error of .01", (5, 5000))}


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    learning_rates: tuple[float, ...] = option((0.003, 0.01, 0.03, 0.1), "of the images' networks", minimum=1e-30)
    shallow: int = option(20, "weighted layers of the network that is deepened", minimum=4)
    deep: int = option(56, "weighted layers that it is deepened to", minimum=4)
    order: str = option("post", "norm and activation of the deepened network", choices=("post",))
    depths: tuple[int, ...] = option((2, 4, 8, 16), "layers, in blocks, of what learns the identity", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual"), "connections of these networks")
    orders: tuple[str, ...] = option(("between", "pre"), "where these have norm and activation")
    map_width: int = option(16, "units of these networks", minimum=1)
    map_steps: int = option(2000, "steps of Adam, with batches of --batch_size, for the identity", minimum=1)
    map_rates: tuple[float, ...] = option((0.001, 0.003, 0.01, 0.03, 0.1), "their rates to choose from", minimum=0)
    seeds: int = option(3, "seeds of each network: 0, 1, …", minimum=1)

    def __post_init__(self):
        super().__post_init__()
        for name, value in USUAL.items():
            if getattr(self, name) != value:
                raise UserError(f"--{name}={getattr(self, name)}: added layers are the identity with {value!r} only")
        if self.deep <= self.shallow:
            raise UserError(f"--deep={self.deep}: must be more than --shallow={self.shallow}")


def trials(config: Config) -> list[Trial | Start]:
    """What is trained, then what learns the identity; stem and head count, but for these."""
    trained = itertools.product(("plain", "residual"), (config.shallow, config.deep), range(config.seeds))
    maps = itertools.product(config.connections, config.orders, config.depths)
    return [
        *(Trial.of(config, connection=name, norm="batch", depth=depth, seed=seed) for name, depth, seed in trained),
        *(Start.of(config, connection=name, norm="none", order=order, depth=depth + 2, width=config.map_width)
          for name, order, depth in maps),
    ]  # fmt: skip


def rows(bench, trial: Trial | Start, config: Config):
    """Trains it, and deepens the shallow plain one that did not diverge; or lets it learn the identity."""
    if isinstance(trial, Start):
        given = {"rates": sorted(config.map_rates), "steps": config.map_steps, "batch_size": config.batch_size}
        for row in bench.once(learn, trial, seeds=config.seeds, **given)["rows"]:
            yield "maps", row | {"depth": trial.depth - 2}
        return
    best, at_edge, _ = lab.tuning.tuned(bench, trial, config)
    row = bench.train(best) | {"learning_rate": best.learning_rate, "at_edge": at_edge}
    yield "results", row | {"network": f"{trial.connection}, trained"}
    if (trial.connection, trial.depth, row["diverged"]) == ("plain", config.shallow, None):
        deepened = bench.once(deepen, best, when="trained", depth=config.deep)
        yield "results", row | deepened | {"network": "plain, deepened", "depth": config.deep}


def deepen(trial: Trial, snapshot, depth: int) -> dict[str, float]:
    """Loss and accuracies of the trained network with identity layers behind its own, `depth` layers in all."""
    network = lab.building.network(dataclasses.replace(trial, depth=depth), snapshot.data.classes)
    deep = probes.identity.deepen(snapshot.params, snapshot.state, network.length)
    loss, accuracy = training.evaluation.evaluate(network, *deep, snapshot.data.train)
    _, test_accuracy = training.evaluation.evaluate(network, *deep, snapshot.data.test)
    return {"train_loss": loss, "train_accuracy": accuracy, "test_accuracy": test_accuracy}


def learn(trial: Start, seeds: int, rates: list[float], **options) -> dict[str, list[dict]]:
    """How near to the identity the trial's blocks come at the best of the rates, and how soon at the soonest."""
    start = lab.building.network(trial, classes=1), trial.width, training.step.keys_of(0, seeds)
    found = probes.identity.learn(*start, np.array(rates), target=0.01, **options)
    first, last, steps = (np.array(values, float) for values in (found.first, found.last, found.steps))  # S R
    best, soonest = best_rate(rates, last), best_rate(rates, steps)
    rows = lab.tables.records({"first_error": first[:, 0], "last_error": last[:, best], "steps": steps[:, soonest]})
    judged = {"learning_rate": rates[best], "at_edge": best in (0, len(rates) - 1)}
    return {"rows": [judged | row | {"seed": seed} for seed, row in enumerate(rows)]}


def best_rate(rates: list[float], values: np.ndarray) -> int:
    """Which rate has the least values, S R, in the mean over the seeds; nan is worse than any."""
    results = [[{"steps": 0, "train_loss": value} for value in own] for own in values.T]
    return rates.index(training.search.best_rate(dict(zip(rates, results, strict=True))))


def summary(tables):
    """Means over the seeds, with their intervals."""
    named = tables["results"].groupby(["network", "depth", "learning_rate"], sort=False)
    return lab.statistics.summarised(named, ["train_loss", "test_accuracy"]), "identity layers: 95 % t intervals"


def draw(tables, canvas):
    """Training loss, trained and deepened; the error of the learned identity, and the steps to .01, against depth."""
    maps = tables["maps"].replace({"last_error": {0: 1e-30}, "steps": {0: 1}})  # ReZero's, on logarithmic axes
    losses = tables["results"].assign(name=lambda table: table["network"] + ": " + table["depth"].astype(str))
    note = "bars: medians; lines: geometric means, 95 % t intervals; steps: of the seeds that come to .01"
    with canvas.figure(panels=3, height=2.8, note=note) as (left, *axes):
        lab.figures.bars(left, losses.groupby("name", sort=False)["train_loss"])
        left.set(xlabel="training loss")
        for axis, (column, (title, limits)) in zip(axes, PANELS.items(), strict=True):
            axis.set(yscale="log", xlabel="layers, in blocks", title=title)
            for label, color, own in canvas.families(maps, "connection", "order"):
                known = own.dropna(subset=column).groupby("depth")[column]
                lab.figures.leaving_means(axis, known, limits, "o-", log=True, color=color, label=label)
            lab.figures.log_ticks(axis, maps["depth"])
        axes[0].axhline(probes.identity.RECTIFIED, color="k", linewidth=0.5, label="plain, pre: at least")
        lab.legends.legend(axes, columns=5)


PLAN = lambda trial, config: (lab.start if isinstance(trial, Start) else lab.plan).plan(trial)  # noqa: E731
STUDY = Study(Config, TABLES, trials, rows, draw, summary, refuse=PLAN, images=True)

if __name__ == "__main__":
    STUDY.main()
