"""Many kinds beside each other: a row a kind, a colour a depth, a dot with its bar a mean."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resjax.lab import figures, legends
from resjax.lab.canvas import Canvas

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.1  # on both sides of the means, in the unit of the axis: bars may be longer
SHARE = 0.5  # of a row's height that its depths take


def draw(results: "pd.DataFrame", kind: str, panels: Mapping[str, str], canvas: Canvas) -> None:
    """A panel a column of `panels`, which says its label; `kind` is the column whose values are the rows."""
    kinds = list(dict.fromkeys(results[kind]))
    depths = sorted(set(results["depth"]))
    shade = dict(zip(depths, figures.shades(len(depths)), strict=True))
    note = "dots: means, crosses: without seeds that diverged; bars: 95 % t intervals, some beyond the axis"
    with canvas.figure(panels=len(panels), height=1.1 + 0.22 * len(kinds), sharey=True, note=note) as axes:
        for axis, (quantity, label) in zip(axes, panels.items(), strict=True):
            means = results.groupby([kind, "depth"])[quantity].mean()
            for (name, depth), own in results.groupby([kind, "depth"], sort=False):
                place = kinds.index(name) + SHARE * ((depths.index(depth) + 0.5) / len(depths) - 0.5)
                shown = {"color": shade[depth], "label": f"{depth} layers" if name == kinds[0] else None}
                values = own[quantity]
                figures.across(axis, place, values.dropna(), "x" if values.isna().any() else "o", **shown)
            axis.set(xlabel=label, xlim=(means.min() - MARGIN, means.max() + MARGIN))
        axes[0].set(yticks=range(len(kinds)), yticklabels=kinds, ylim=(len(kinds) - 0.5, -0.5))
        legends.legend(axes, columns=4)
