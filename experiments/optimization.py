"""Does SGD find a global minimum of the training loss, of wide networks, deep ones, with and without skips?

    python -m experiments.optimization
    python -m experiments.optimization --norms=none,batch --width=16,64 --depths=6,18 --seeds=3

The loss of a network that can tell all training images apart has the lower bound 0 and comes as close to it as one
likes. So for every connection × norm × width × depth × seed: trains until every image is right and the mean loss is
at most --global_loss, or the steps run out. With the true labels, and with random ones (Zhang et al. 2017, arXiv
1611.03530), where nothing can be learned and each image must be fitted by itself.

Figure: the training loss that is reached, by width and depth; where it is a global minimum, the steps to it.

Five minutes on 2 CPU cores that others used too. 256 images, batch norm, three seeds: residual networks of width 16
and 64 reach it at 6, 18 and 66 layers alike, in 40 to 180 steps; with random labels in 140 to 280 steps at width 64,
whatever the depth, and in 640 to 1000 at width 16 (one of nine runs does not). Plain ones do at 6 layers, at 18 only
with width 64 and the true labels, at 66 never: there they stay at ln 10 or above. Width 4 (430 to 2110 parameters) is
too narrow for random labels; with the true ones its residual networks come to 0.01 to 0.26, the plain ones to 0.06 to
4. So width is needed to fit the images, and skips for depth not to be in the way. A single learning rate, 0.05.
"""

import dataclasses
import itertools
import pathlib

import resjax
from resjax.lab.config import Point, Running, Training, option

RESULTS = {
    "connection": "str",
    "norm": "str",
    "width": "int64",
    "depth": "int64",
    "seed": "int64",
    "random_labels": "float64",  # share
    "parameters": "int64",
    "steps": "int64",  # until the minimum was seen, or all
    "train_loss": "float64",
    "train_accuracy": "float64",
    "test_accuracy": "float64",  # on true labels
    "reached": "bool",
    "diverged": "Int64",
}
SCALE = (1e-3, 3)  # of the figure's losses
MIDDLE = 0.05


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    connections: tuple[str, ...] = option(("plain", "residual"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    width: tuple[int, ...] = option((4, 16, 64), "units or filters of the stem", minimum=1)
    depths: tuple[int, ...] = option((6, 18, 66), "weighted layers of each network", minimum=1)
    random_labels: tuple[float, ...] = option(
        (0.0, 1.0), "shares of the training images whose label is drawn at random", minimum=0, maximum=1
    )
    examples: int = option(256, "train on the first so many images only; 0: on all", minimum=0)
    steps: int = option(1000, "training steps, at most", minimum=1)
    global_loss: float = option(
        0.01, "mean training loss that counts as a global minimum, with all images right", minimum=0
    )
    evaluate_every: int = option(20, "steps between looks at the training loss", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def points(config: Config) -> list[Point]:
    """One point a row of the table; those that differ in labels and seed alone share their programs."""
    varied = config.connections, config.norms, config.width, config.depths, config.random_labels, range(config.seeds)
    return [
        Point.of(config, connection=connection, norm=norm, width=width, depth=depth, random_labels=share, seed=seed)
        for connection, norm, width, depth, share, seed in itertools.product(*varied)
    ]


def run(config: Config):
    """Trains what is not trained yet, then writes the table and the figure."""
    wanted = points(config)
    for point in wanted:
        resjax.lab.plan.plan(point)
    work = resjax.lab.workdir.WorkDirectory.open("optimization", config, {"results": RESULTS})
    if not config.plot_only:
        goal = resjax.lab.trial.Goal(1.0, config.evaluate_every, config.global_loss)
        rows = []
        with resjax.lab.session.session(work, total=len(wanted)) as session:
            for point, following in itertools.pairwise([*wanted, None]):
                result = session.train(point, goal, share=1.0, following=following)
                reached = result["train_accuracy"] == 1 and result["train_loss"] <= config.global_loss
                rows.append(dataclasses.asdict(point) | result | {"reached": reached})
        work.write_table("results", rows)
    results = work.read_table("results")
    plot(results, work.path / "figure")
    resjax.lab.session.show(summary(results), title="share that reaches a global minimum; median of steps")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def summary(results):
    """A row a kind of network, the seeds together."""
    names = ["connection", "norm", "random_labels", "width", "depth"]
    columns = {"reached": "mean", "steps": "median", "train_loss": "median"}
    table = results.groupby(names, sort=False).agg(columns).reset_index()
    return table.rename(columns={"random_labels": "random", "train_loss": "loss"})


def plot(results, path: pathlib.Path):
    """Training loss by width and depth, a column a kind of network, a row a share of random labels: medians."""
    from matplotlib.colors import LogNorm

    kinds = list(results[["connection", "norm"]].drop_duplicates().itertuples(index=False))
    shares = list(results["random_labels"].unique())
    scale = LogNorm(*SCALE)
    height = 0.7 + 1.5 * len(shares)
    with resjax.lab.figures.figure(path, len(kinds), len(shares), height, sharex=True, sharey=True) as axes:
        for axis, (share, (connection, norm)) in zip(axes, itertools.product(shares, kinds), strict=True):
            chosen = (results["connection"] == connection) & (results["norm"] == norm)
            cells = results[chosen & (results["random_labels"] == share)].groupby(["width", "depth"])
            loss = cells["train_loss"].median()
            steps = cells["steps"].median()
            reached = cells["reached"].mean()
            grid = loss.unstack()  # width, depth
            image = axis.imshow(grid.clip(scale.vmin, scale.vmax), norm=scale, cmap="viridis_r", aspect="auto")
            for (row, width), (column, depth) in itertools.product(enumerate(grid.index), enumerate(grid.columns)):
                place = width, depth
                text = f"✓ {steps[place]:.0f}" if reached[place] > 0.5 else f"{loss[place]:.2g}"
                axis.text(column, row, text, ha="center", va="center", color="k" if loss[place] < MIDDLE else "w")
            axis.set_xticks(range(len(grid.columns)), labels=map(str, grid.columns))
            axis.set_yticks(range(len(grid.index)), labels=map(str, grid.index))
            axis.set_title(f"{connection}, norm {norm}: {100 * share:g} % random labels")
            axis.grid(visible=False)
        for axis in axes[-len(kinds) :]:
            axis.set_xlabel("depth")
        for axis in axes[:: len(kinds)]:
            axis.set_ylabel("width")
        axes[0].figure.colorbar(image, ax=list(axes), label="training loss; ✓: minimum, after so many steps")


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
