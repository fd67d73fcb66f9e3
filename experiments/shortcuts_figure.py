"""The figure of `shortcuts`, from its table."""

import functools
import itertools
import pathlib

import numpy as np

import resjax

STAGES = {"start": "--", "trained": "-"}
PAPER = {  # test error of ResNet-110; nan: failed
    "residual": 6.61,
    "plain": np.nan,
    "scaled(alpha=0.5)": np.nan,
    "scaled(alpha=0.5,beta=0.5)": 12.35,
    "exclusive_gate(bias=-6)": 8.70,
    "shortcut_gate(bias=0)": 12.86,
    "shortcut_gate(bias=-6)": 6.91,
    "projection": 12.22,
    "dropout": np.nan,
}
LOST = 1e16  # no condition number above it can be told in float64


def plot(config, results, path: pathlib.Path):
    """Errors, condition and gradient against the number of projections; length of skips; kinds; the paper's table."""
    wrong = {f"{part}_error": 100 * (1 - results[f"{part}_accuracy"].fillna(0)) for part in ("train", "test")}
    results = results.assign(**wrong)  # who diverged gets nothing right
    panels = [
        ("projections", functools.partial(errors, config)),
        ("projections", functools.partial(conditions, config)),
        ("projections", functools.partial(gradients, config)),
        ("skip_length", against_length),
        ("kinds", functools.partial(bars, column="shortcut")),
        ("table1", functools.partial(bars, column="connection")),
    ]
    panels = [(draw, rows) for study, draw in panels if len(rows := results[results["study"] == study])]
    lines = -(-len(panels) // 2)
    with resjax.lab.figures.figure(path, panels=2, rows=lines, height=0.3 + 2.1 * lines) as axes:
        for axis, (draw, rows) in zip(axes, panels, strict=False):
            draw(axis, rows)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        resjax.lab.figures.legend(axes, columns=3)


def errors(config, axis, results):
    """On training and held-out images."""
    for column, style in (("train_error", "--"), ("test_error", "-")):
        against_projections(config, axis, results[results["stage"] == "start"], column, style)
    axis.plot([], [], "k--", label="training images, or before training")
    axis.plot([], [], "k-", label="held-out images, or after training")
    axis.set_yscale("symlog", linthresh=0.1)
    axis.set_yticks([0, 0.1, 1, 10, 100], labels=["0", "0.1", "1", "10", "100"])
    axis.set(ylabel="error (%)", ylim=(0, 110))


def conditions(config, axis, results):
    """Before and after training, with the line for Gaussian factors from the network without projections on."""
    for stage, style in STAGES.items():
        against_projections(config, axis, results[results["stage"] == stage], "condition", style)
    without = results[(results["projections"] == 0) & (results["stage"] == "start")]["condition"].median()
    counts = np.arange(results["projections"].max() + 1)
    if config.network == "dense" and "projection" in config.shortcut:
        logarithm = np.log(without) + resjax.theory.gaussian_spread(config.width) * counts
        axis.plot(counts, np.exp(np.minimum(logarithm, 700)), "k:", label="theory: Gaussian factors")
    axis.set(ylabel="condition number of all blocks", yscale="log", ylim=(1e2, LOST))


def gradients(config, axis, results):
    """Before and after training."""
    for stage, style in STAGES.items():
        against_projections(config, axis, results[results["stage"] == stage], "gradient_norm", style)
    axis.set(ylabel="gradient, before / behind blocks", yscale="log")


def against_projections(config, axis, results, column: str, style: str):
    """A line a kind, medians over the seeds and a band over them, from the network without projections on."""
    for kind, color in zip(config.shortcut, itertools.cycle(resjax.lab.figures.COLORS), strict=False):
        rows = results[(results["shortcut"] == kind) | (results["projections"] == 0)]
        values = rows.groupby("projections")[column]
        axis.plot(values.median(), style, marker="o", color=color, label=kind)
        axis.fill_between(values.median().index, values.min(), values.max(), color=color, alpha=0.2, linewidth=0)
    counts = sorted(set(results["projections"]))
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xticks(counts, labels=map(str, counts))
    axis.minorticks_off()
    axis.set_xlabel(f"projections, of {results['blocks'].max()} skips")


def against_length(axis, results):
    """Error, and on the right the condition number at the start, against the layers between two additions."""
    once = results[results["stage"] == "start"].groupby("layers")
    error = once["test_error"]
    axis.plot(error.median(), "ko-")
    axis.fill_between(error.median().index, error.min(), error.max(), color="k", alpha=0.1, linewidth=0)
    axis.set(xlabel="layers that a skip leads past", ylabel="held-out error (%)", xscale="log", ylim=(0, None))
    lengths = sorted(set(results["layers"]))
    axis.set_xticks(lengths, labels=map(str, lengths))
    axis.minorticks_off()
    right = axis.twinx()
    color = resjax.lab.figures.COLORS[1]
    right.plot(once["condition"].median(), "s--", color=color)
    right.set_yscale("log")
    right.set_ylabel("condition number, start", color=color)
    right.spines["right"].set_visible(True)
    right.grid(visible=False)


def bars(axis, results, column: str):
    """Errors: a bar a shortcut or connection, a dot a seed; of the paper's networks a cross, at 100 if it failed."""
    results = results[results["stage"] == "start"]
    more = results["projections"].map(lambda count: f" + {count}" if count else "")
    kinds = results.groupby(results[column] + more, sort=False)
    for place, (kind, rows) in enumerate(kinds):
        axis.barh(place, rows["test_error"].median(), 0.6, color=resjax.lab.figures.COLORS[0], alpha=0.6)
        axis.plot(rows["test_error"], [place] * len(rows), "k.")
        if column == "connection" and kind in PAPER:
            axis.plot(rows["paper_error"].fillna(100).iloc[0], place, "x", color=resjax.lab.figures.COLORS[1])
    titles = {
        "shortcut": "images: changes of size, + other skips",
        "connection": "He et al. 2016, table 1: × (100: fails)",
    }
    axis.set_yticks(range(len(kinds)), kinds.groups, fontsize=6)
    axis.set(xlabel="held-out error (%)", title=titles[column])
    axis.invert_yaxis()
