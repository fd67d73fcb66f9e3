"""Does an ensemble of shallow networks beat one very deep network, and if so why?

    python -m experiments.ensembles
    python -m experiments.ensembles --depths=66 --members=2,4,8,16 --seeds=3

A residual network is often called an ensemble of the shallow networks inside it (Veit et al. 2016, arXiv
1605.06431). So the blocks of one deep network are dealt out: to one network, or to m of 1/m of the blocks, trained
together for as many steps on as many images, whose probabilities are averaged. All have the same parameters and
the same training compute but for their m stems and heads. Beside them the deep residual network's own
sub-networks: m copies of it, each without a random share of its blocks, averaged.

Measured on the held-out images: accuracy, loss, expected calibration error, how often two members disagree, and
what it costs, in loss and in error, to delete one block (mean over the blocks of all members).

Four minutes on 2 CPU cores. Ensembles of two to eight residual networks err on 1.3 to 2.4 % of the images, the deep
networks on 2.9 to 3.9 %, their own sub-networks on 4 to 14 % (three seeds). Plain ensembles do as well where their
members have 10 layers or less. A deleted block adds .004 to the loss of 258 residual layers, 3.2 to that of 18 plain
ones.
"""

import dataclasses
import itertools
import pathlib

import resjax
from resjax.lab.config import Point, Running, Training, option
from resjax.system.errors import UserError

RESULTS = {
    "system": "str",  # deep, ensemble, or sub-networks of the deep one
    "connection": "str",
    "norm": "str",
    "depth": "int64",  # of the deep network whose blocks are dealt out
    "members": "int64",
    "member_depth": "int64",
    "seed": "int64",
    "parameters": "int64",  # of all members
    "training_gigaflops": "float64",  # of all members: 3 × forward × images
    "diverged": "int64",  # members that did, and are left out of what follows
    "accuracy": "float64",
    "loss": "float64",
    "calibration_error": "float64",
    "member_accuracy": "float64",
    "member_loss": "float64",
    "disagreement": "float64",  # share of images for which two members differ, mean over the pairs; empty for one
    "lesion_loss": "float64",  # what a deleted block adds to the loss, mean over the blocks
    "lesion_error": "float64",  # and to the share of images that are wrong
}


@dataclasses.dataclass(frozen=True)
class SubNetworks:
    """Which parts of a deep network are averaged."""

    left_out: float = option(0.25, "the share of blocks that a sub-network is without", minimum=0, maximum=1)


@dataclasses.dataclass(frozen=True)
class Config(Running, SubNetworks, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((18, 66, 258), "weighted layers of the deep networks", minimum=1)
    members: tuple[int, ...] = option((2, 4, 8), "networks that the blocks are dealt out to", minimum=2)
    connections: tuple[str, ...] = option(("residual", "plain"), "connections, the first one's sub-networks too")
    norm: str = option("batch", "normalisation")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


@dataclasses.dataclass(frozen=True)
class System(Point, SubNetworks):
    """What is measured: the networks of a `Point`, or `members` sub-networks of its one network."""

    members: int = option(1, "networks or sub-networks")


def shallow(config: Config, depth: int, members: int) -> int:
    """The depth of a network with 1/members of the blocks of a deep one.

    Raises:
      UserError: the blocks can not be shared equally.
    """
    possible = resjax.lab.registry.depths(Point.of(config, depth=depth))
    units, rest = divmod(len(possible), members)
    if rest or possible[-1] != depth:
        raise UserError(f"--members={members}: the network of depth {depth} can not be dealt out to so many")
    return possible[units - 1]


def points(config: Config, depth: int, connection: str, seed: int) -> list[Point]:
    """The deep network, and the ensembles with its blocks; no two seeds share a member."""
    ensembles = [
        Point.of(
            config,
            depth=shallow(config, depth, members),
            connection=connection,
            seed=seed * max(config.members),
            num_seeds=members,
        )
        for members in config.members
    ]
    return [Point.of(config, depth=depth, connection=connection, seed=seed), *ensembles]


def run(config: Config):
    """Trains and measures what is not done yet, then writes the table and the figure."""
    families = {
        (depth, connection, seed): points(config, depth, connection, seed)
        for depth, connection, seed in itertools.product(config.depths, config.connections, range(config.seeds))
    }
    in_order = list(itertools.chain(*families.values()))
    for point in in_order:
        resjax.lab.plan.plan(point)
    work = resjax.lab.workdir.WorkDirectory.open("ensembles", config, {"results": RESULTS})
    if not config.plot_only:
        following = dict(itertools.pairwise(in_order))
        rows = []
        with resjax.lab.session.session(
            work, total=sum(depth * (1 + len(config.members)) for depth, *_ in families)
        ) as s:
            for (depth, connection, seed), wanted in families.items():
                done = {point: s.train(point, share=depth, following=following.get(point)) for point in wanted}
                for system, point, trained in systems(config, wanted, own=connection == config.connections[0]):
                    key = {
                        "system": system,
                        "depth": depth,
                        "seed": seed,
                        "connection": connection,
                        "norm": config.norm,
                    }
                    found = measured(s, work, point, trained, done[trained])
                    rows.append(key | {"member_depth": point.depth} | found)
        work.write_table("results", rows)
    results = work.read_table("results")
    plot(results, work.path / "figure")
    columns = ["system", "connection", "depth", "members", "accuracy", "loss", "disagreement", "lesion_loss"]
    shown = results[columns].groupby(columns[:4], sort=False).mean().reset_index()
    resjax.lab.session.show(shown, title="held-out images, mean over seeds")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def systems(config: Config, wanted: list[Point], own: bool) -> list[tuple[str, System, Point]]:
    """What is measured of a family, and its networks: the family's and, of its `own` deep one, the sub-networks."""
    whole = [System(**dataclasses.asdict(point), left_out=0.0, members=point.num_seeds or 1) for point in wanted]
    subs = [dataclasses.replace(whole[0], members=count, left_out=config.left_out) for count in config.members]
    named = list(zip(["deep"] + ["ensemble"] * len(config.members), whole, wanted, strict=True))
    return named + [("sub-networks", point, wanted[0]) for point in subs if own]


def measured(session, work, point: System, trained: Point, result: dict) -> dict:
    """The columns of the table that a system's networks decide."""
    from experiments.ensembles_measure import measure

    diverged = result["diverged"] if trained.num_seeds else [result["diverged"]]
    found = session.measure(point, lambda point: measure(point, trained, work.folder(trained), diverged), share=0)
    return found | {"parameters": result["parameters"] * len(diverged)}


def plot(results, path: pathlib.Path):
    """Error, loss and cost of a lesion against the number of members that the same blocks are dealt out to."""
    panels = {"error": "held-out error (%)", "loss": "held-out loss", "lesion_loss": "loss added by deleting a block"}
    results = results.assign(error=100 * (1 - results["accuracy"]))
    kinds = results["connection"].where(results["system"] != "sub-networks", "sub-networks")
    color = dict(zip(dict.fromkeys(kinds), itertools.cycle(resjax.lab.figures.COLORS), strict=False))
    style = dict(zip(sorted(set(results["depth"])), itertools.cycle(("-", "--", ":", "-.")), strict=False))
    with resjax.lab.figures.figure(path, panels=3, height=2.8) as axes:
        for axis, (column, label) in zip(axes, panels.items(), strict=True):
            for (kind, depth), rows in results.groupby([kinds, "depth"], sort=False):
                by_members = rows.groupby("members")[column]
                axis.plot(by_members.mean(), style[depth], marker="o", color=color[kind], label=f"{kind}, {depth}")
                axis.fill_between(
                    by_members.mean().index, by_members.min(), by_members.max(), color=color[kind], alpha=0.1
                )
            members = sorted(set(results["members"]))
            axis.set(xscale="log", xlabel="networks that share the blocks", ylabel=label)
            axis.set_xticks(members, labels=map(str, members))
            axis.minorticks_off()
        axes[0].set_yscale("symlog", linthresh=1)
        axes[0].set_ylim(0, 110)
        axes[0].set_yticks([0, 1, 10, 100], labels=["0", "1", "10", "100"])
        for axis in axes[1:]:
            axis.set_yscale("log")
        resjax.lab.figures.legend(axes, columns=3)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
