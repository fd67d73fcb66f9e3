"""How many skips may be projections, of which kind, and over how many layers should a skip lead?

    python -m experiments.shortcuts
    python -m experiments.shortcuts --projections=0,1,2,4,8,-1 --jacobians=8 --seeds=3
    python -m experiments.shortcuts --studies=projections --depth=98 --projections=0,4,8,-1 --shortcut=projection \\
        --jacobians=8 --seeds=3

A projection in place of the identity, it is said, weakens the gradient a little and may be used a few times in a
network. Four studies make one table:

`projections`: so many of the blocks, spread evenly, have Wx + F(x), W Gaussian or orthogonal at the start.
`kinds`: what joins the stages of a network for images, and then all of its skips.
`table1`: the skips of He et al. 2016 (arXiv 1603.05027), table 1, at its 110 layers.
`skip_length`: layers that a skip leads past, at equal depth.

Measured: the training's result; and, before and after training, the Jacobian of all blocks as one map (largest and
smallest singular value, their ratio) and the norm of the loss's gradient before the blocks over that behind them.

Five minutes on 2 CPU cores, most of it compiling; a quarter of an hour for the second command, from which the numbers
are, and two minutes for the third. "A few times" is a number, not a share, and ends at about eight. Of 12, 24 or 48
skips 4 may be Gaussian projections and the training loss and the error (2 to 5 %) stay; 8, of 24 or 48, double the loss
and leave the error; 12 of 12 make the loss 3 times as large, 24 of 24 22 times (error 6 to 52 %), 48 of 48 145 times
(47 %, and one run diverges). They do not weaken the gradient: at the start it is as large with 24 as with none. What
grows is the condition number, 9 to 19 times a projection (theory: 15), from 1e6 to 6e13 with 8. Orthogonal ones leave
it as it is, and 24 of them do less harm (3 to 17 %) but some: what is learned multiplies the gradient by 6e3 on its way
back, by 3e5 with Gaussian ones, by 9 with none.

Skips over 1 to 3 layers do alike; over 8 the loss is 9 times that over 2. For images projections where the size changes
(error 4.9 %) are as good as pad (4.3), in 7 more blocks worse (7.4; orthogonal 5.4); max_pool there is too (5.3), in 7
more the worst (56). Of the paper's skips only the identity and the exclusive gate train at 110 layers (2.6 %, both):
this agrees for plain, scaled(alpha=0.5) and dropout, which fail there too, not for the others, with 64000 steps there
and the original order of norm and ReLU.
"""

import dataclasses
import itertools

import numpy as np

import resjax
from experiments.shortcuts_figure import PAPER, STAGES, plot
from resjax.lab.config import Point, Running, Training, option

RESULTS = {
    "study": "str",  # projections, kinds, table1, skip_length
    "network": "str",
    "connection": "str",
    "shortcut": "str",  # pad is the identity where the size stays
    "projections": "int64",  # blocks that have the shortcut though the size stays
    "layers": "int64",  # of a branch
    "depth": "int64",
    "norm": "str",
    "seed": "int64",
    "blocks": "int64",
    "stage": "str",  # of the network whose Jacobian it is; what training led to stands beside both
    "gradient_norm": "float64",  # before the blocks over behind them
    "condition": "float64",  # σ_max/σ_min, median over the images; what is above 1e15 is rounding
    "sigma_max": "float64",
    "sigma_min": "float64",
    "train_loss": "float64",
    "train_accuracy": "float64",
    "test_accuracy": "float64",
    "diverged": "Int64",
    "paper_error": "float64",  # in He et al.'s table 1 (%, CIFAR-10); empty where they have none, or it failed
}
STUDIES = ("projections", "kinds", "table1", "skip_length")
ALL = -1  # of `projections`


@dataclasses.dataclass(frozen=True)
class Reading:
    """How much of each network is read."""

    jacobians: int = option(4, "training images at which the Jacobian is taken; medians over them", minimum=1)


@dataclasses.dataclass(frozen=True)
class Config(Running, Reading, Training):
    """The options of this experiment."""

    studies: tuple[str, ...] = option(STUDIES, "which of the four", choices=STUDIES)
    depth: int = option(50, "weighted layers, in the studies of projections and of the length of skips", minimum=1)
    connection: str = option("residual", "how F(x) meets the stream in these two")
    projections: tuple[int, ...] = option((0, 1, 4, ALL), "numbers of projections; -1: in all blocks", minimum=-1)
    shortcut: tuple[str, ...] = option(("projection", "orthogonal"), "their kinds")
    layers: tuple[int, ...] = option((1, 2, 3, 4, 8), "layers that a skip leads past", minimum=1)
    table1_depth: int = option(110, "weighted layers, beside the paper's table", minimum=1)
    connections: tuple[str, ...] = option(tuple(PAPER), "connections, beside the paper's table")
    image_network: str = option("resnet", "the network for images")
    image_depth: int = option(20, "its weighted layers", minimum=1)
    image_width: int = option(4, "its filters", minimum=1)
    image_shortcut: tuple[str, ...] = option(("pad", "projection", "orthogonal", "max_pool"), "its kinds of shortcut")
    norm: str = option("batch", "normalisation")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


@dataclasses.dataclass(frozen=True)
class Read(Point, Reading):
    """A network to read, before or after training."""

    stage: str = option("start", "when it is read", choices=tuple(STAGES))


def points(config: Config) -> list[tuple[str, Point]]:
    """The networks of each study."""
    images = {
        "network": config.image_network,
        "depth": config.image_depth,
        "width": config.image_width,
        "branch": "",
        "order": "",
    }
    branch, _ = resjax.lab.names.parse(config.branch, "branch")
    kinds = config.shortcut
    counts = config.projections
    wanted = [
        *[("projections", {"shortcut": s if n else "pad", "projections": n}) for s in kinds for n in counts],
        *[("kinds", images | {"shortcut": s}) for s in config.image_shortcut],
        *[("kinds", images | {"shortcut": s, "projections": ALL}) for s in config.image_shortcut if s != "pad"],
        *[("table1", {"depth": config.table1_depth, "connection": c}) for c in config.connections],
        *[("skip_length", {"branch": f"{branch}(layers={layers})"}) for layers in config.layers],
    ]
    found = []
    for (study, values), seed in itertools.product(wanted, range(config.seeds)):
        if study not in config.studies:
            continue
        point = Point.of(config, **{"shortcut": "pad", "seed": seed} | values | {"projections": 0})
        if count := values.get("projections", 0):
            network, _, _ = resjax.lab.plan.plan(point)
            equal = network.length - sum(network.transitions)
            point = dataclasses.replace(point, projections=equal if count == ALL else count)
        found.append((study, point))
    return list(dict.fromkeys(found))


def run(config: Config):
    """Trains and reads what is not done yet, then writes the table and the figure."""
    todo = points(config)
    planned = [resjax.lab.plan.plan(point)[0] for _, point in todo]
    work = resjax.lab.workdir.WorkDirectory.open("shortcuts", config, {"results": RESULTS})
    if not config.plot_only:
        from experiments.shortcuts_measure import measure

        rows = []
        following = [point for _, point in todo[1:]] + [None]
        with resjax.lab.session.session(work, total=2 * len(todo)) as session:
            for (study, point), network, after in zip(todo, planned, following, strict=True):
                result = session.train(point, share=1.0, following=after)
                key = dataclasses.asdict(point) | {
                    "study": study,
                    "layers": network.blocks[-1].branch.layers,
                    "blocks": network.length,
                    "paper_error": PAPER.get(point.connection) if study == "table1" else None,
                }
                for stage in STAGES if result["diverged"] is None else ("start",):
                    read = Read.of(point, stage=stage, jacobians=config.jacobians)
                    found = session.measure(
                        read, lambda read, point=point: measure(read, work.folder(point)), share=0.5
                    )
                    rows.append(key | result | found | {"stage": stage})
        work.write_table("results", rows)
    results = work.read_table("results")
    plot(config, results, work.path / "figure")
    resjax.lab.session.show(summary(results), title="held-out error (%), condition number κ of all blocks")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def summary(results):
    """A row a network, medians over the seeds: what training led to, and the condition number before and after it."""
    named = {
        "projections": results["projections"].map("{} × ".format) + results["shortcut"],
        "kinds": "images: " + results["shortcut"] + results["projections"].map(" + {}".format),
        "table1": results["connection"],
        "skip_length": results["layers"].map("over {} layers".format),
    }
    skips = np.select([results["study"] == study for study in named], list(named.values()))
    table = results.assign(skips=skips, error=100 * (1 - results["test_accuracy"]))
    read = table.pivot_table("condition", ["study", "skips"], "stage", "median", sort=False).add_prefix("κ, ")
    trained = table.groupby(["study", "skips"], sort=False)[["train_loss", "error"]].median()
    return trained.join(read).reset_index().drop(columns="study")


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
