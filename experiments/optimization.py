"""Does SGD find a global minimum of the training loss, of wide networks, deep ones, with and without skips?

    python -m experiments.optimization
    python -m experiments.optimization --steps=4000 --width=16,64 --seeds=5

The loss of a network that can tell all training images apart can come as close to 0 as one likes. So: trains until all
are right and the mean loss is at most --global_loss. With the true labels, and random ones (Zhang et al. 2017).

Found, with the second command, in 20 minutes on 2 CPU cores, medians of five seeds, each network at its best rate:
residual networks reach it at 6, 18 and 66 layers, in 40 to 100 steps with true labels and in 180 to 760 with random
ones. There depth costs them something: at width 64 66 layers take 120 ± 46 steps more than 6 (95 % t interval, seed by
seed). Plain ones reach it at 6 layers. At 18 they take 300 steps at width 64 and 1560 at width 16, where residual ones
take 40 and 80; random labels they do not learn at width 16. At 66 layers no plain network does in 4000 steps, at any
rate: the loss ends at 1.9 and 2.1 with true labels, and near ln 10 with random ones. So skips take nearly all of the
cost of depth away, and wider networks are faster.

Not shown: more than 4000 steps; rates above .1, the best of residual networks; more than 256 images of 8×8 digits.
"""

import dataclasses
import itertools

from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, truth
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES

RESULTS = columns(
    "connection", "norm", "width", "depth", "seed", "random_labels", "learning_rate", "at_edge",
    "parameters", "steps", "train_loss", "train_accuracy", "test_accuracy",
    reached=truth("whether it is a global minimum: all images right, and a loss of --global_loss or less"),
) | columns("diverged")  # fmt: skip
SCALE = (1e-3, 3)  # of the figure's losses
MIDDLE = 0.05


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
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


def trials(config: Config) -> list[Trial]:
    """A network a row; those that differ in labels and seed alone share their programs."""
    goal = {"stop_accuracy": 1.0, "stop_loss": config.global_loss, "stop_every": config.evaluate_every}
    return [
        Trial.of(
            config, connection=connection, norm=norm, width=width, depth=depth, random_labels=share, seed=seed, **goal
        )
        for connection in config.connections
        for norm in config.norms
        for width in config.width
        for depth in config.depths
        for share in config.random_labels
        for seed in range(config.seeds)
    ]


def rows(bench, trial: Trial, config: Config):
    """Trains it until it reaches a global minimum, or the steps run out."""
    found = bench.train(trial)
    reached = found["train_accuracy"] == 1 and found["train_loss"] <= config.global_loss
    yield "results", found | {"reached": reached}


def summary(tables):
    """A row a kind of network, the seeds together."""
    names = ["connection", "norm", "random_labels", "width", "depth"]
    measured = {"reached": "mean", "steps": "median", "train_loss": "median"}
    shown = tables["results"].groupby(names, sort=False).agg(measured).reset_index()
    short = shown.rename(columns={"random_labels": "random", "train_loss": "loss"})
    return short, "share that reaches a global minimum; median of steps"


def draw(tables, canvas):
    """Training loss by width and depth, a column a kind of network, a row a share of random labels: medians."""
    from matplotlib.colors import LogNorm

    results = tables["results"]
    kinds = list(results[["connection", "norm"]].drop_duplicates().itertuples(index=False))
    shares = list(results["random_labels"].unique())
    scale = LogNorm(*SCALE)
    height = 0.8 + 1.5 * len(shares)
    note = "medians over the seeds"
    with canvas.figure("figure", len(kinds), len(shares), height, note, sharex=True, sharey=True) as axes:
        for axis, (share, (connection, norm)) in zip(axes, itertools.product(shares, kinds), strict=True):
            chosen = (results["connection"] == connection) & (results["norm"] == norm)
            cells = results[chosen & (results["random_labels"] == share)].groupby(["width", "depth"])
            image = draw_cells(axis, cells, scale)
            axis.set_title(f"{connection}, norm {norm}: {100 * share:g} % random labels")
        for axis in axes[-len(kinds) :]:
            axis.set_xlabel("depth")
        for axis in axes[:: len(kinds)]:
            axis.set_ylabel("width")
        axes[0].figure.colorbar(image, ax=list(axes), label="training loss; ✓: minimum, after so many steps")


def draw_cells(axis, cells, scale):
    """Width down, depth across: the loss as a colour, and in numbers it or the steps to a global minimum."""
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
    axis.grid(visible=False)
    return image


TABLES = {"results": RESULTS, "rates": columns("random_labels") | RATES}
STUDY = Study(Config, TABLES, trials, rows, draw, summary, tuned=True, images=True)

if __name__ == "__main__":
    STUDY.main()
