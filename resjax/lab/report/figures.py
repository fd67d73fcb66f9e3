"""The figures of a report: signals over depth, learning curves, what is learned and the rates against depth."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resjax.lab import figures, legends
from resjax.lab.canvas import Canvas
from resjax.reporting.asked import THEORY
from resjax.reporting.checks import largest_stable

if TYPE_CHECKING:
    import pandas as pd

LIMITS = 1e-15, 1e15
PANELS = {
    "activation_mean_square": "activations,\nmean square",
    "gradient_mean_square": "gradient,\nmean square",
    "input_cosine": "cosine of two inputs",
    "token_cosine": "cosine of two tokens",
}


def draw(tables: Mapping[str, "pd.DataFrame"], canvas: Canvas) -> None:
    """Draws all."""
    color = figures.colors(tables["results"]["subject"])
    _signals(tables["signals"], color, canvas)
    _training(tables, color, canvas)


def _signals(signals: "pd.DataFrame", color: Mapping[str, str], canvas: Canvas) -> None:
    panels = {name: label for name, label in PANELS.items() if signals[name].notna().any()}
    with canvas.figure("signals", len(panels), 1, 2.6, "dashed: theory of wide networks") as axes:
        for axis, (quantity, label) in zip(axes, panels.items(), strict=True):
            squares = "mean_square" in quantity
            axis.set(yscale="log" if squares else "linear", xlabel="layer", ylabel=label)
            for subject, own in signals.groupby("subject", sort=False):
                line = own[quantity] / own[quantity].iloc[-1] if quantity == "gradient_mean_square" else own[quantity]
                ends = LIMITS if squares else (-0.1, 1.1)
                figures.leaving(axis, own["layer"], line, ends, color=color[subject], label=subject)
                theory = own.get(THEORY[quantity])
                if theory is not None and theory.notna().any():
                    axis.plot(own["layer"], theory, "k--", linewidth=0.7)
        legends.legend(axes, columns=6)


def _training(tables: Mapping[str, "pd.DataFrame"], color: Mapping[str, str], canvas: Canvas) -> None:
    curves = tables["curves"]
    rates = tables["rates"]
    deepest = curves["depth"].max()
    with canvas.figure("figure", 3, 1, 2.6, "lines: means over the seeds") as axes:
        for subject, own in curves[curves["depth"] == deepest].groupby("subject", sort=False):
            mean = own.groupby("step")["share"].mean()
            axes[0].plot(mean.index, 100 * mean, color=color[subject], label=subject)
        axes[0].set(xlabel="step", ylabel="learned (%)", title=f"depth {deepest}", ylim=(-3, 103))
        for subject, own in rates.groupby("subject", sort=False):
            best = own[own["chosen"]].groupby("depth")
            axes[1].plot(best["share"].mean().index, 100 * best["share"].mean(), "o-", color=color[subject])
            axes[2].plot(best["learning_rate"].first(), "o-", color=color[subject])
            shallowest = best["share"].mean().iloc[0]
            borne = {depth: largest_stable(own.to_dict("records"), depth, shallowest) for depth in best.groups}
            stable = {depth: rate for depth, rate in borne.items() if rate}
            axes[2].plot(list(stable), list(stable.values()), "^:", color=color[subject])
        axes[1].set(xlabel="depth", ylabel="learned (%)", title="at the best rate", ylim=(-3, 103))
        axes[2].set(xlabel="depth", ylabel="learning rate", yscale="log", title="best, and largest stable (▲)")
        for axis in axes[1:]:
            figures.log_ticks(axis, rates["depth"])
        legends.legend(axes, columns=6)
