"""Learning curves of the networks of a table, and the losses of texts in which they end."""

import math
from typing import TYPE_CHECKING

import numpy as np

from resjax.lab import figures, legends
from resjax.lab.canvas import Canvas

if TYPE_CHECKING:
    import pandas as pd

NAMED = 4  # depths of a figure, at most, that its legend names
FAILS = 4.2  # bits a byte of a text, above which a network says little more than how frequent a byte is
GUESSES = 8  # bits a byte of one that says nothing; a network that diverged has no loss, and is worth no more


def draw_bits(results: "pd.DataFrame", held_out: "pd.DataFrame", canvas: Canvas, note: str) -> None:
    """Training and held-out loss of a text against depth, in bits a byte: of rows in the same order."""
    losses = results.assign(test_loss=held_out["test_loss"])
    note = f"{note}, a cross at {GUESSES}: diverged; dotted, {FAILS:g}: has not trained"
    with canvas.figure(panels=2, height=2.8, sharey=True, note=note) as axes:
        for axis, split in zip(axes, ("train_loss", "test_loss"), strict=True):
            ends = {}
            for label, color, rows in canvas.families(losses, "connection", "norm"):
                failed = rows[split].isna()
                bits = (rows[split] / math.log(2)).fillna(GUESSES)
                figures.line(axis, bits.groupby(rows["depth"]), "-", color=color, label=label)
                axis.plot(rows["depth"][~failed], bits[~failed], "o", color=color)
                axis.plot(rows["depth"][failed], bits[failed], "x", color=color, markersize=5)
                ends[label] = bits[rows["depth"] == rows["depth"].max()].mean(), color
            axis.axhline(FAILS, color="0.5", linewidth=0.7, linestyle=":")
            figures.log_ticks(axis, results["depth"])
            axis.set(xlabel="depth (weighted layers)", ylabel=f"{split[:-5]} loss (bits a byte)")
        legends.name_ends(axes[-1], ends)


def draw(curves: "pd.DataFrame", canvas: Canvas) -> None:
    """Training loss against the step, a panel a family, two in a row, a line a depth: the mean over seeds."""
    families = list(canvas.families(curves, "connection", "norm"))
    depths = sorted(set(curves["depth"]))
    named = {round(at) for at in np.linspace(0, len(depths) - 1, min(len(depths), NAMED))}
    lines = -(-len(families) // 2)
    with canvas.figure("curves", min(2, len(families)), lines, 0.7 + 1.8 * lines, sharex=True, sharey=True) as axes:
        for axis in axes[len(families) :]:
            axis.set_axis_off()
        for axis, (label, _, rows) in zip(axes, families, strict=False):
            for at, (depth, shade) in enumerate(zip(depths, figures.shades(len(depths)), strict=True)):
                mean = rows[rows["depth"] == depth].groupby("step")["loss"].mean()
                axis.plot(mean, color=shade, label=f"{depth} layers" if at in named else "")
            axis.set(title=label, yscale="log")
        axes[0].figure.supxlabel("step")
        axes[0].figure.supylabel("training loss (a batch)")
        legends.legend(axes, columns=7)
