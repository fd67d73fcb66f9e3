"""What is the deepest network of each kind that still trains?

    python -m experiments.depth_frontier
    python -m experiments.depth_frontier --connections=plain --norms=none --initializer=orthogonal --activation=tanh

For every connection × normalisation × seed: grows the depth until a network misses the given training
accuracy within the given steps, then bisects. Takes a success to imply success at every smaller depth,
which noise near the frontier can belie: `tried` lists every network trained, in order.
"""

import dataclasses
import itertools
import pathlib

import resjax
from resjax.lab.config import Point, Running, Training, option

RESULTS = {
    "connection": "str",
    "norm": "str",
    "initializer": "str",
    "optimizer": "str",
    "learning_rate": "float64",
    "seed": "int64",
    "frontier_depth": "int64",  # 0 if even the shallowest network failed
    "tried": "str",  # depth:training accuracy, "nan" for a network that diverged
}
CLAIMS = {"plain, said: 10–12": (10, 12), "plain + norm, said: 20–30": (20, 30)}  # what is commonly said
ENDED = 0.01  # a frontier this close to --max_depth is where the search ended


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


def search(trains, depths: range, precision: float) -> int:
    """The largest of `depths` for which `trains(depth)` holds, to within `precision`; 0 if none.

    Grows fourfold from the smallest depth, then bisects in the logarithm. `trains` is called
    O(log(depths)) times and taken to be true below the frontier and false above.
    """
    good = -1  # places in `depths` known, or taken, to train and not to train
    bad = len(depths)
    place = 0
    while good < place < bad:
        good, bad = (place, bad) if trains(depths[place]) else (good, place)
        if bad == len(depths):
            place = min(4 * (place + 1) - 1, len(depths) - 1)
        elif good >= 0 and depths[bad] > (1 + precision) * depths[good]:
            place = round(((good + 1) * (bad + 1)) ** 0.5) - 1
            place = min(max(place, good + 1), bad - 1)
        else:
            break
    return depths[good] if good >= 0 else 0


def run(config: Config):
    """Finds every frontier that is not known yet, then writes the table and the figure."""
    families = [(c, n, seed) for c in config.connections for n in config.norms for seed in range(config.seeds)]
    bottom = Point.of(config, depth=config.max_depth)
    depths = resjax.lab.registry.depths(bottom)
    goal = resjax.lab.trial.Goal(config.accuracy, config.evaluate_every)
    for connection, norm, seed in families:
        resjax.lab.plan.plan(Point.of(config, depth=depths[0], connection=connection, norm=norm, seed=seed))
    work = resjax.lab.workdir.WorkDirectory.open("depth_frontier", config, {"results": RESULTS})
    if not config.plot_only:
        rows = []
        with resjax.lab.session.session(work, total=len(families)) as session:
            for connection, norm, seed in families:
                rows.append(frontier(config, session, depths, goal, connection=connection, norm=norm, seed=seed))
                session.advance(1)
        work.write_table("results", rows)
    results = work.read_table("results")
    plot(results, config.max_depth, work.path / "figure")
    shown = results[["connection", "norm", "seed", "frontier_depth"]]
    resjax.lab.session.show(shown, title=f"deepest network with train accuracy {config.accuracy:g}")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def frontier(config: Config, session, depths: range, goal, **family) -> dict:
    """One row of the table."""
    tried = []

    def trains(depth: int) -> bool:
        result = session.train(Point.of(config, depth=depth, **family), goal)
        tried.append(f"{depth}:{result['train_accuracy']:.3f}")
        return result["train_accuracy"] >= config.accuracy

    depth = search(trains, depths, config.precision)
    return dataclasses.asdict(config) | family | {"frontier_depth": depth, "tried": " ".join(tried)}


def plot(results, max_depth: int, path: pathlib.Path):
    """A bar a family up to the median over seeds, and a dot a seed, on a logarithmic axis."""
    with resjax.lab.figures.figure(path, height=2.9) as (axis,):
        families = list(results.groupby(["connection", "norm"], sort=False))
        color = dict(zip(results["connection"].unique(), itertools.cycle(resjax.lab.figures.COLORS), strict=False))
        for (label, (low, high)), shade in zip(CLAIMS.items(), ("0.45", "0.75"), strict=True):
            axis.axvspan(low, high, color=shade, alpha=0.6, linewidth=0, zorder=0, label=label)
        for place, ((connection, _), rows) in enumerate(families):
            depth = rows["frontier_depth"].clip(lower=1)
            ended = depth > max_depth / (1 + ENDED)  # nothing deeper was tried
            axis.barh(place, depth.median(), 0.6, color=color[connection], alpha=0.6)
            axis.plot(depth[~ended], [place] * (~ended).sum(), "k.")
            axis.plot(depth[ended], [place] * ended.sum(), "k>")
        axis.plot([], [], "k.", label="a seed")
        axis.plot([], [], "k>", label="the search ended")
        axis.set_yticks(range(len(families)), [f"{connection}, {norm}" for (connection, norm), _ in families])
        axis.set(xscale="log", xlabel="deepest network that trains", xlim=(2, 2 * max_depth))
        ticks = [tick for tick in (3, 10, 30, 100, 300, 1000, 3000, 10_000) if tick < 2 * max_depth]
        axis.set_xticks(ticks, labels=map(str, ticks))
        axis.minorticks_off()
        axis.invert_yaxis()
        axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
