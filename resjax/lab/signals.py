"""The figure of signals on their way through networks that are not trained yet, with the lines of theory."""

import itertools
from typing import TYPE_CHECKING, Any

from resjax.lab import figures, legends, wide_limit
from resjax.lab.canvas import Canvas

if TYPE_CHECKING:
    import pandas as pd

LIMITS = 1e-15, 1e15  # of the figure
NARROW = 1e-4, 1e4  # of that of tokens, whose networks mostly have norms
PANELS = {
    "activation_mean_square": "activations,\nmean square",
    "gradient_mean_square": "gradient, mean\nsquare (last = 1)",
    "input_cosine": "cosine of two inputs",
}
OF_TOKENS = {
    "activation_mean_square": PANELS["activation_mean_square"],
    "gradient_mean_square": PANELS["gradient_mean_square"],
    "token_cosine": "cosine of two tokens",
    "attention_entropy": "entropy of\nattention (nats)",
}
LOGARITHMIC = "activation_mean_square", "gradient_mean_square"


def draw(results: "pd.DataFrame", canvas: Canvas) -> None:
    """Activations, gradients and cosines of the deepest networks by layer: a column a norm, a line a family."""
    norms = list(results["norm"].unique())
    options: Any = canvas.config
    panels = OF_TOKENS if results["attention_entropy"].notna().any() else PANELS
    shown = results[results["depth"] == results["depth"].max()]
    shown = shown[shown["initializer"] == shown["initializer"].iloc[0]]
    note = "lines: means over the seeds"
    height = 0.4 + 1.7 * len(panels)
    with canvas.figure("figure", len(norms), len(panels), height, note, sharex=True, sharey="row") as axes:
        for axis, (quantity, norm) in zip(axes, itertools.product(panels, norms), strict=True):
            ends = limits(quantity, results[quantity], LIMITS if panels is PANELS else NARROW)
            axis.set_yscale("log" if quantity in LOGARITHMIC else "linear")
            for label, color, family in canvas.families(shown[shown["norm"] == norm], "connection"):
                mean = family.groupby("layer")[quantity].mean()
                mean = mean / mean.iloc[-1] if quantity == "gradient_mean_square" else mean
                figures.leaving(axis, mean.index, mean, ends, color=color, label=label)
                line = wide_limit.line(options, family, quantity)
                if line is not None:
                    axis.plot(mean.index, line, "k--", linewidth=0.7, label="theory")
        for axis, norm in zip(axes, norms, strict=False):
            axis.set_title(f"norm {norm}")
        for axis, label in zip(axes[:: len(norms)], panels.values(), strict=True):
            axis.set_ylabel(label)
        for axis in axes[-len(norms) :]:
            axis.set_xlabel("layer")
        legends.legend(axes, columns=3 if len(norms) == 1 else 5)


def limits(quantity: str, values: "pd.Series", logarithmic: tuple[float, float]) -> tuple[float, float]:
    """Of a panel's axis."""
    if quantity in LOGARITHMIC:
        return logarithmic
    return (-0.05, 1.05) if "cosine" in quantity else (-0.1, 0.2 + values.max())
