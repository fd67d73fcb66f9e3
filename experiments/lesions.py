"""What happens to a trained network whose blocks are deleted, or put into another order?

    python -m experiments.lesions
    python -m experiments.lesions --depth=20 --deletions=1,2,4,6,8 --steps=1000 --seeds=3
    python -m experiments.lesions --from=runs/depth_scaling-1234abcd --depth=56 --norm=batch

Trains residual networks, without and with stochastic depth, and plain ones (only without: no skip leads
past a dropped block); or takes the newest checkpoints of another run (`--from`), of all its networks that agree with
the flags given. Then, with nothing trained again (Veit et al. 2016, arXiv 1605.06431): deletes each
block in turn, deletes blocks at random, swaps random pairs of blocks of a stage, and measures the error on
the held-out images. Of a block that changes the shape of the stream only the branch is left out (`branch`).
Figure: error against the deleted block, the number of deleted blocks, and Kendall's rank correlation of
the order with that of training.

Networks trained with stochastic depth are lesioned as they are evaluated, each branch times its p. All
lesions of a network run in one compiled program.

One minute on 2 CPU cores. As in the paper, 27 residual blocks do not miss one (error 2.4 % before and, in the median,
after) and get worse step by step: 9 % with 12 deleted, 60 % with 20, 32 % with the order lost (τ = 0); with stochastic
depth 5, 39 and 19 %. Unlike there no block changes the shape, and the ones that are missed are the first (10 %; 11 %).
A plain network of 56 layers does not train (82 %). One of 20 does (second command: 3.0 %), and without one block, or
with two swapped, it is at chance: 88 and 90 %, residual ones 3 %.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable

import resjax
from resjax.lab.config import Point, Running, Training, option
from resjax.system.errors import UserError

RESULTS = {
    "network": "str",  # its connection
    "training": "str",  # its stochastic depth
    "seed": "int64",
    "kind": "str",  # none, delete, branch, delete_random, swap, permutation
    "count": "int64",  # of blocks deleted, or of pairs swapped
    "draw": "int64",
    "block": "Int64",  # the one deleted, or left without its branch; empty elsewhere
    "kendall_tau": "float64",
    "loss": "float64",  # on the held-out images
    "accuracy": "float64",
}


@dataclasses.dataclass(frozen=True)
class Lesions:
    """What is done to each network."""

    blocks: tuple[int, ...] = option((-1,), "blocks to delete in turn; -1: all that can be deleted", minimum=-1)
    deletions: tuple[int, ...] = option((1, 2, 4, 8, 12, 16, 20), "numbers of blocks to delete at random", minimum=1)
    swapped: tuple[int, ...] = option((1, 2, 4, 8, 16, 32), "numbers of pairs of blocks to swap", minimum=1)
    draws: int = option(20, "random lesions of each number", minimum=1)
    permutation: tuple[int, ...] = option((-1,), "one order of all blocks to try, from 0; -1: none", minimum=-1)


@dataclasses.dataclass(frozen=True)
class Config(Running, Lesions, Training):
    """The options of this experiment."""

    depth: int = option(56, "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("residual", "plain"), "connections, as in depth_scaling")
    survival: tuple[str, ...] = option(
        ("none", "linear(last=0.5)"), "stochastic depth of all but plain networks, as in stochastic_depth"
    )
    norm: str = option("batch", "normalisation")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)
    from_: str = option("", "a work directory of another run whose networks to take; none is trained then")


@dataclasses.dataclass(frozen=True)
class Lesioned(Point, Lesions):
    """A trained network and what is done to it."""


def points(config: Config) -> list[Point]:
    """The networks to train."""
    return [
        Point.of(config, connection=connection, survival=survival, seed=seed)
        for connection in config.connections
        for survival in (config.survival if connection != "plain" else ("none",))
        for seed in range(config.seeds)
    ]


def lesioned(config: Config, point: Point) -> Lesioned:
    """What is done to this network."""
    chosen = {field.name: getattr(config, field.name) for field in dataclasses.fields(Lesions)}
    return Lesioned(**dataclasses.asdict(point), **chosen)


def run(config: Config):
    """Trains or takes the networks, measures what is not measured yet, then writes the table and the figure."""
    if not config.plot_only:
        from experiments import lesions_measure

        networks = lesions_measure.taken(config) if config.from_ else [(point, None) for point in points(config)]
        for point, _ in networks:
            lesions_measure.check(lesioned(config, point))
    work = resjax.lab.workdir.WorkDirectory.open("lesions", config, {"results": RESULTS})
    if not config.plot_only:
        rows = []
        with resjax.lab.session.session(work, total=2 * len(networks)) as session:
            for (point, folder), (following, _) in itertools.pairwise([*networks, (None, None)]):
                if folder:
                    restore = resjax.lab.other_runs.restore
                    diverged = resjax.lab.other_runs.diverged(point, folder)
                    session.advance(1)
                else:
                    diverged = session.train(point, share=1, following=following)["diverged"]
                    restore = resjax.lab.trial.trained
                    folder = work.folder(point)
                rows += lesion(session, lesioned(config, point), diverged, functools.partial(restore, point, folder))
        if not rows:
            raise UserError("every network diverged: there is none to lesion")
        work.write_table("results", rows)
    results = work.read_table("results")
    plot(results, work.path / "figure")
    resjax.lab.session.show(summary(results), title="held-out error (%), medians")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def lesion(session, point: Lesioned, diverged: int | None, restore: Callable) -> list[dict]:
    """The rows of one network, which `restore` brings; none if it diverged."""
    from experiments import lesions_measure

    if diverged is not None:
        print(f"{point.label}: diverged at step {diverged} and is left out")
        session.advance(1)
        return []
    found = session.measure(point, lambda point: lesions_measure.measure(point, *restore()))
    return [
        {"network": point.connection, "training": point.survival, "seed": point.seed} | row for row in found["rows"]
    ]


def families(results):
    """The kinds of network, each with its label, its colour, and its rows with the error in percent."""
    results = results.assign(error=100 * (1 - results["accuracy"]))
    named = results.groupby(["network", "training"], sort=False)
    for color, ((network, training), rows) in zip(itertools.cycle(resjax.lab.figures.COLORS), named, strict=False):
        yield network if training == "none" else f"{network}, trained with {training}", color, rows


def summary(results):
    """Networks down, the largest lesion of each kind across: the median error over blocks, draws and seeds."""
    largest = results[results["count"] == results.groupby("kind")["count"].transform("max")]
    named = largest.assign(
        error=100 * (1 - largest["accuracy"]), lesion=largest["kind"] + " " + largest["count"].astype(str)
    )
    table = named.pivot_table("error", ["network", "training"], "lesion", "median", sort=False)
    return table.reset_index()


def plot(results, path: pathlib.Path):
    """Error against the deleted block, the number of deleted blocks, and the rank correlation of the order.

    Left a mean over seeds. Else medians over draws and seeds, with a band between quartiles; dots are draws.
    """
    with resjax.lab.figures.figure(path, panels=3, height=2.6, sharey=True) as (single, several, moved):
        for label, color, rows in families(results):
            whole, one, branch, deleted, swapped = (
                rows[rows["kind"].isin(kinds)]
                for kinds in (["none"], ["delete"], ["branch"], ["none", "delete_random"], ["none", "swap"])
            )
            single.axhline(whole["error"].mean(), color=color, linewidth=0.6, linestyle=":")
            single.plot(one.groupby("block")["error"].mean(), "o-", color=color, markersize=2.5)
            single.plot(branch.groupby("block")["error"].mean(), "D", color=color)
            quartiles = deleted.groupby("count")["error"].quantile([0.25, 0.5, 0.75]).unstack()
            several.fill_between(quartiles.index, quartiles[0.25], quartiles[0.75], color=color, alpha=0.2, linewidth=0)
            several.plot(quartiles[0.5], "o-", color=color, label=label)
            moved.plot(swapped["kendall_tau"], swapped["error"], ".", color=color, alpha=0.2)
            medians = swapped.groupby("count")[["kendall_tau", "error"]].median().sort_values("kendall_tau")
            moved.plot(medians["kendall_tau"], medians["error"], "o-", color=color)
        if (results["kind"] == "branch").any():
            single.plot([], [], "kD", label="its branch alone left out")
        single.set(xlabel="deleted block", ylabel="held-out error (%)", ylim=(-3, 103))
        several.set(xlabel="deleted blocks, at random")
        moved.set(xlabel="Kendall's τ of the order")
        moved.invert_xaxis()
        resjax.lab.figures.legend((several, single), columns=3)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
