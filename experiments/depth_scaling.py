"""How deep can a network be trained, with and without normalisation, with and without skips?

    python -m experiments.depth_scaling
    python -m experiments.depth_scaling --preset=resnet56_cifar10 --connections=plain,residual --depths=20,56
    python -m experiments.depth_scaling --depths=20,56 --connections='residual,scaled(power=0.5)' --seeds=5

Trains every depth × connection × normalisation × seed and draws training and test error against depth
(`figure`) and the training loss against the step (`curves`).
"""

import dataclasses
import itertools
import pathlib

import resjax
from resjax.lab.config import Point, Running, Training, option

RESULTS = {
    "depth": "int64",
    "connection": "str",
    "norm": "str",
    "seed": "int64",
    "parameters": "int64",
    "train_loss": "float64",
    "train_accuracy": "float64",
    "test_accuracy": "float64",
    "diverged": "Int64",  # the first step whose loss was not finite; empty if there was none
}
TIMINGS = {
    "depth": "int64",
    "connection": "str",
    "norm": "str",
    "seed": "int64",
    "first_step_seconds": "float64",
    "step_milliseconds": "float64",
    "total_seconds": "float64",
}
CURVES = {
    "depth": "int64",
    "connection": "str",
    "norm": "str",
    "seed": "int64",
    "step": "int64",
    "loss": "float64",  # of that step's batch
    "accuracy": "float64",
}
START = 150  # about as many layers train in the time that a network takes to compile; for the progress bar
TABLES = {"results": RESULTS, "timings": TIMINGS, "curves": CURVES}
FAILED = 0.5  # a network that diverged or gets less than half of its training images right is drawn as failed


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((4, 10, 20, 30, 56, 110, 1000), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(
        ("plain", "residual"),
        "plain, residual, scaled(alpha=1,beta=0.1,power=0.5), rezero, projection, package.module:Name",
    )
    norms: tuple[str, ...] = option(("none", "batch"), "none, batch, layer, rms, package.module:Name")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)
    seeds_together: bool = option(False, "train the seeds of a network together: sooner done, equal but for rounding")


def points(config: Config) -> list[Point]:
    """One point a row of the table, or a row a seed, family by family."""
    seeds = [(0, config.seeds)] if config.seeds_together else [(seed, 0) for seed in range(config.seeds)]
    return [
        Point.of(config, depth=depth, connection=connection, norm=norm, seed=seed, num_seeds=num_seeds)
        for connection in config.connections
        for norm in config.norms
        for depth in config.depths
        for seed, num_seeds in seeds
    ]


def run(config: Config):
    """Trains what is not trained yet, then writes the tables and the figure."""
    wanted = points(config)
    for point in wanted:
        resjax.lab.plan.plan(point)
    work = resjax.lab.workdir.WorkDirectory.open("depth_scaling", config, TABLES)
    if not config.plot_only:
        shares = [START + point.depth for point in wanted]
        with resjax.lab.session.session(work, total=sum(shares)) as session:
            for point, share, following in zip(wanted, shares, [*wanted[1:], None], strict=True):
                session.train(point, share=share, following=following)
                for name in ("results", "timings"):
                    work.write_table(name, work.rows(wanted))
                work.write_table("curves", work.learning_curves(wanted))
    results = work.read_table("results")
    plot(results, work.path / "figure")
    plot_curves(work.read_table("curves"), work.path / "curves")
    resjax.lab.session.show(summary(results), title="training accuracy, mean over seeds")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def summary(results):
    """Depth down, families across."""
    named = results.assign(family=results["connection"] + "/" + results["norm"])
    return named.pivot_table("train_accuracy", "depth", "family", sort=False, dropna=False).reset_index()


def plot(results, path: pathlib.Path):
    """Training and test error against depth: the mean over seeds, a band from the best to the worst."""
    with resjax.lab.figures.figure(path, panels=2, height=2.7, sharey=True) as axes:
        for axis, split in zip(axes, ("train", "test"), strict=True):
            families = results.groupby(["connection", "norm"], sort=False)
            for color, ((connection, norm), rows) in zip(
                itertools.cycle(resjax.lab.figures.COLORS), families, strict=False
            ):
                error = 100 * (1 - rows[f"{split}_accuracy"].fillna(0))  # a network that diverged gets nothing right
                failed = ~(rows["train_accuracy"] >= FAILED)
                by_depth = error.groupby(rows["depth"])
                mean = by_depth.mean()
                best = by_depth.min()
                worst = by_depth.max()
                axis.fill_between(mean.index, best, worst, color=color, alpha=0.2, linewidth=0)
                axis.plot(mean, color=color, label=f"{connection}, norm {norm}")
                axis.plot(rows["depth"][~failed], error[~failed], "o", color=color)
                axis.plot(rows["depth"][failed], error[failed], "x", color=color, markersize=5)
            axis.plot([], [], "kx", label="failed (100 %: diverged)")
            depths = sorted(set(results["depth"]))
            axis.set(xscale="log", xlabel="depth (weighted layers)", ylabel=f"{split} error (%)", ylim=(-3, 103))
            axis.set_xticks(depths, labels=map(str, depths))
            axis.minorticks_off()
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)


def plot_curves(curves, path: pathlib.Path):
    """Training loss against the step, a panel a family, two in a row, a line a depth: the mean over seeds."""
    families = curves.groupby(["connection", "norm"], sort=False)
    depths = sorted(set(curves["depth"]))
    rows_of_panels = -(-len(families) // 2)
    height = 0.6 + 1.8 * rows_of_panels
    with resjax.lab.figures.figure(
        path, min(2, len(families)), rows_of_panels, height, sharex=True, sharey=True
    ) as axes:
        shades = resjax.lab.figures.shades(len(depths))
        for axis in axes[len(families) :]:
            axis.set_axis_off()
        for axis, ((connection, norm), rows) in zip(axes, families, strict=False):
            for depth, shade in zip(depths, shades, strict=True):
                mean = rows[rows["depth"] == depth].groupby("step")["loss"].mean()
                axis.plot(mean, color=shade, label=f"{depth} layers")
            axis.set(title=f"{connection}, norm {norm}", yscale="log")
            axis.minorticks_off()
        axes[0].figure.supxlabel("step")
        axes[0].figure.supylabel("training loss (a batch)")
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=7)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
