"""Tables and figures of what is looked at while networks train (see `resjax.lab.watching`)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from resjax.lab.config import Running, Watching
from resjax.lab.part import Row
from resjax.lab.tables import MEASURES, Columns, columns, number, whole
from resjax.lab.trial import Trial, by_seed

if TYPE_CHECKING:
    import pandas as pd

    from resjax.lab.canvas import Canvas
    from resjax.lab.store import Store

KEY = columns("depth", "connection", "norm", "seed", "step")
READ = {
    "activation_mean_square": number("of the stream before the block"),
    "gradient_mean_square": number("of ∂L/∂x of that stream, where L is the mean loss of the batch"),
    "parameter_gradient_norm": number("of the block's parameters"),
}
TABLES = {  # by the option that asks for it
    "evaluate_every": {"errors": KEY | columns(*MEASURES)},
    "probe_every": {"blocks": KEY | {"block": whole("from 0")} | READ},
}


def tables(config: Running) -> dict[str, Columns]:
    """The tables that a configuration asks for; none where its experiment has no such options."""
    asked = [name for name in TABLES if isinstance(config, Watching) and getattr(config, name)]
    return {name: columns for option in asked for name, columns in TABLES[option].items()}


def rows(store: "Store", trial: Trial) -> Iterator[Row]:
    """The rows of these tables of a network that is trained."""
    for line in store.curve(trial, "test_loss"):
        yield from (("errors", row) for row in by_seed(trial, line))
    for line in store.curve(trial, "gradient_mean_square"):
        for row in by_seed(trial, line):
            for block, values in enumerate(zip(*(row[name] for name in READ), strict=True)):
                yield "blocks", row | {"block": block} | dict(zip(READ, values, strict=True))


def draw(found: Mapping[str, "pd.DataFrame"], canvas: "Canvas") -> None:
    """Draws a figure a table, of those that are there."""
    if "errors" in found:
        errors(found["errors"], canvas)
    if "blocks" in found:
        for quantity in READ:
            blocks(found["blocks"], quantity, canvas)


def errors(table: "pd.DataFrame", canvas: "Canvas") -> None:
    """Training and test error against the step (He et al. 2015, figure 6): a panel a family, a colour a depth."""
    from resjax.lab import figures, legends

    families = list(canvas.families(table, "connection", "norm"))
    depths = sorted(set(table["depth"]))
    note = "means over the seeds"
    with canvas.figure("errors", len(families), 1, 2.8, note, sharey=True) as axes:
        for axis, (label, _, own) in zip(axes, families, strict=False):
            for depth, shade in zip(depths, figures.shades(len(depths)), strict=True):
                means = own[own["depth"] == depth].groupby("step")[["train_accuracy", "test_accuracy"]].mean()
                axis.plot(100 * (1 - means["test_accuracy"]), color=shade, label=f"{depth} layers, test")
                axis.plot(100 * (1 - means["train_accuracy"]), ":", color=shade, label=f"{depth} layers, training")
            axis.set(title=label, xlabel="step", ylim=(-3, 103))
        axes[0].set_ylabel("error (%)")
        legends.legend(axes, columns=4)


def blocks(table: "pd.DataFrame", quantity: str, canvas: "Canvas") -> None:
    """A quantity of every block (up) at every step (across) as a colour: a row a family, a column a depth."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    families = list(canvas.families(table, "connection", "norm"))
    depths = sorted(set(table["depth"]))
    values = table[quantity][(table[quantity] > 0) & np.isfinite(table[quantity])]
    scale = LogNorm(*np.quantile(values, (0.01, 0.99))) if values.nunique() > 1 else LogNorm(0.1, 10)
    look: dict[str, Any] = {"norm": scale, "cmap": "viridis"}
    height = 0.8 + 1.4 * len(families)
    note = "medians over the seeds; white: 0, or not finite"
    with canvas.figure(quantity, len(depths), len(families), height, note) as axes:
        axes = axes.reshape(max(1, len(families)), -1)
        for line, (label, _, own) in zip(axes, families, strict=False):
            for axis, depth in zip(line, depths, strict=True):
                cells = own[own["depth"] == depth].pivot_table(quantity, "block", "step", "median", dropna=False)
                if len(cells):
                    axis.imshow(cells, aspect="auto", origin="lower", **look)
                    axis.set_xticks([0, len(cells.columns) - 1], [str(cells.columns[0]), str(cells.columns[-1])])
                axis.yaxis.get_major_locator().set_params(integer=True)
                axis.grid(False)
                axis.set_title(f"{label}: {depth} layers", fontsize=6)
            line[0].set_ylabel("block")
        for axis in axes[-1]:
            axis.set_xlabel("step")
        axes[0, 0].figure.colorbar(ScalarMappable(**look), ax=list(axes.ravel()), label=quantity.replace("_", " "))
