"""What is the deepest network of each kind that still trains?

    python -m experiments.depth_frontier
    python -m experiments.depth_frontier --connections=plain --norms=none --initializer=orthogonal --activation=tanh

Grows the depth until a network misses the given training accuracy within the given steps, then bisects. Takes a success
to imply success at every smaller depth, which noise can belie: `tried` lists every network trained, in order.

Found, with --seeds=3 on 2 CPU cores: plain networks train to 10–12 layers without a norm, to 22–24 with batch norm,
and with layer norm to 12–14. Skips alone do not help (10–14). ReZero, whose branches start at zero, reaches 306–432
with no norm at all. Residual and ReZero networks with a norm train to 1024 layers, where the search ends.

Not shown: what more steps, another learning rate or another optimiser would train; other data than 8×8 digits.
"""

import dataclasses
from typing import Any

from resjax import lab, training
from resjax.lab.config import Running, Training
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, text, whole
from resjax.lab.trial import Trial

SEARCHED = {
    "frontier_depth": whole("of the deepest network that trains; 0 if even the shallowest one failed"),
    "tried": text("depth:training accuracy of every network in order, nan for one that diverged"),
}
RESULTS = columns("connection", "norm", "initializer", "optimizer", "learning_rate", "seed", **SEARCHED)
CLAIMS = {"plain, said: 10–12": (10, 12), "plain + norm, said: 20–30": (20, 30)}  # what is commonly said
TICKS = 3, 10, 30, 100, 300, 1000, 3000, 10_000


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    connections: tuple[str, ...] = option(("plain", "residual", "rezero"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("none", "batch", "layer"), "normalisations, as in depth_scaling")
    accuracy: float = option(0.9, "training accuracy that counts as trained", minimum=0)
    evaluate_every: int = option(
        20, "steps between looks at the training accuracy; training stops when it is reached", minimum=1
    )
    max_depth: int = option(1024, "where the search ends", minimum=1)
    precision: float = option(0.1, "bisection stops at this relative uncertainty of the depth", minimum=0)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The shallowest network of every family."""
    return [
        shallowest(config, connection=connection, norm=norm, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for seed in range(config.seeds)
    ]


def shallowest(config: Running, **choices: Any) -> Trial:
    """The shallowest network with these options, whose training ends once it is as accurate as the search asks.

    Raises:
      UserError: it is deeper than --max_depth.
    """
    goal = {"stop_accuracy": config.accuracy, "stop_every": config.evaluate_every}
    deepest = Trial.of(config, depth=config.max_depth, **goal, **choices)
    return dataclasses.replace(deepest, depth=lab.registry.depths(deepest)[0])


def rows(bench, trial: Trial, config: Config):
    """A search."""
    yield "results", search(bench, trial, config)


def search(bench, trial: Trial, config: Running) -> dict[str, Any]:
    """The columns `SEARCHED`: the deepest network like this one that is as accurate as the search asks."""
    tried = []

    def trains(depth: int) -> bool:
        accuracy = bench.train(dataclasses.replace(trial, depth=depth))["train_accuracy"]
        tried.append(f"{depth}:{accuracy:.3f}")
        return accuracy >= config.accuracy

    depths = lab.registry.depths(dataclasses.replace(trial, depth=config.max_depth))
    deepest = training.search.frontier(trains, depths, config.precision)
    return {"frontier_depth": deepest, "tried": " ".join(tried)}


def summary(tables):
    """A frontier a row."""
    return tables["results"][["connection", "norm", "seed", "frontier_depth"]], "deepest network that trains"


def draw(tables, canvas):
    """A bar a family up to the median over seeds, and a dot a seed, on a logarithmic axis."""
    results = tables["results"]
    families = list(results.groupby(["connection", "norm"], sort=False))
    color = lab.figures.colors(results["connection"])
    limit = 2 * max(30, results["frontier_depth"].max())
    with canvas.figure(height=3.0, note="bars: medians") as (axis,):
        for (label, (low, high)), shade in zip(CLAIMS.items(), ("0.45", "0.75"), strict=True):
            axis.axvspan(low, high, color=shade, alpha=0.6, linewidth=0, zorder=0, label=label)
        for place, ((connection, _), found) in enumerate(families):
            depth = found["frontier_depth"].clip(lower=1)
            all_trained = ended(found)
            axis.barh(place, depth.median(), 0.6, color=color[connection], alpha=0.6)
            axis.plot(depth[~all_trained], [place] * (~all_trained).sum(), "k.")
            axis.plot(depth[all_trained], [place] * all_trained.sum(), "k>")
        axis.plot([], [], "k.", label="a seed")
        axis.plot([], [], "k>", label="the search ended")
        axis.set_yticks(range(len(families)), [f"{connection}, {norm}" for (connection, norm), _ in families])
        lab.figures.log_ticks(axis, [tick for tick in TICKS if tick < limit])
        axis.set(xlabel="deepest network that trains", xlim=(2, limit))
        axis.invert_yaxis()
        lab.figures.legend([axis], columns=2)


def ended(results):
    """Of each search, whether it ended before a network failed: none deeper than the frontier was tried."""
    deepest = results["tried"].map(lambda tried: max(int(each.partition(":")[0]) for each in tried.split()))
    return results["frontier_depth"] == deepest


STUDY = Study(Config, {"results": RESULTS}, trials, rows, draw, summary)

if __name__ == "__main__":
    STUDY.main()
