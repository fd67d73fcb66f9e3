"""Figures of the loss around trained networks, from tables alone: contours, reliefs, lines, curvature.

A panel is a network. A column is a depth, or a width where there is but one depth; rows differ in what else does.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from resjax.lab import figures
from resjax.lab.canvas import Canvas

if TYPE_CHECKING:
    import pandas as pd

NETWORK = ["statistics", "connection", "norm", "width", "depth"]
LOSSES = 1e-3, 1e2  # what is beyond has the colour, or the height, of these
RATIOS = 1e-2, 1e1
AXES = {"random": ("first direction", "second direction"), "pca": ("first component", "second component")}


def draw(tables: Mapping[str, "pd.DataFrame"], canvas: Canvas) -> None:
    """Draws every figure of the first seed for which `tables` have rows, as those of `landscape`."""
    first = {name: table[table["seed"] == table["seed"].min()] for name, table in tables.items()}
    random, pca = (first["surface"][first["surface"]["plane"] == plane] for plane in AXES)
    wanted: dict[str, tuple[Any, ...]] = {
        "figure": (contours, random),
        "pca": (contours, pca, first["trajectory"]),
        "surface": (reliefs, random),
        "lines": (lines, first["lines"]),
        "curvature": (curvature, first["curvature"][first["curvature"]["plane"] == "random"]),
    }
    there = {name: own for name, own in wanted.items() if len(own[1])}
    for name, (plot, *rows) in there.items():
        plot(functools.partial(_figure, canvas, name, rows[0]), *rows)
    if not there:
        with canvas.figure():
            pass  # which says that there is nothing to show


def contours(figure: Callable[..., Any], rows: "pd.DataFrame", trajectory: "pd.DataFrame | None" = None) -> None:
    """The loss in a plane through the trained weights (+), and the way there."""
    levels = np.geomspace(*LOSSES, 26)
    with figure(height=1.6) as axes:
        for axis, own in _networks(rows, axes):
            x, y, loss = _grid(own, "loss", LOSSES)
            drawn = axis.contourf(x, y, loss, levels, norm="log", cmap="viridis")
            axis.contour(x, y, loss, levels[::2], colors="w", linewidths=0.3)
            if trajectory is not None:
                way = trajectory.merge(own[NETWORK].drop_duplicates())
                axis.plot(way["x"], way["y"], ".-", color="w", markersize=2, linewidth=0.8)
            axis.plot(0, 0, "+", color="#d55e00")
            axis.grid(False)
        _label(axes, AXES[rows["plane"].iloc[0]])
        axes[0].figure.colorbar(drawn, ax=axes, label="training loss", ticks=_decades(LOSSES))


def curvature(figure: Callable[..., Any], rows: "pd.DataFrame") -> None:
    """|λ_min / λ_max| of the Hessian in the random plane: 0 where the loss is convex (Li et al. 2018, figure 7)."""
    rows = rows.assign(ratio=(rows["lambda_min"] / rows["lambda_max"]).abs())
    with figure(height=1.6) as axes:
        for axis, own in _networks(rows, axes):
            drawn = axis.pcolormesh(*_grid(own, "ratio", RATIOS), norm="log", vmin=RATIOS[0], vmax=RATIOS[1])
            axis.grid(False)
        _label(axes, AXES["random"])
        axes[0].figure.colorbar(drawn, ax=axes, label="|λ min / λ max|", ticks=_decades(RATIOS))


def reliefs(figure: Callable[..., Any], rows: "pd.DataFrame") -> None:
    """The loss over the random plane."""
    low, high = np.log10(LOSSES)
    with figure(height=1.9, subplot_kw={"projection": "3d"}) as axes:
        for axis, own in _networks(rows, axes):
            x, y, loss = _grid(own, "loss", LOSSES)
            height = np.log10(loss)
            options = {"cmap": "viridis", "vmin": low, "vmax": high, "linewidth": 0, "rcount": 51, "ccount": 51}
            axis.plot_surface(*np.meshgrid(x, y), height, **options)
            axis.set(zlim=(low, high), xticks=(x[0], 0, x[-1]), yticks=(y[0], 0, y[-1]))
            axis.set_zticks(np.arange(low, high + 1), [f"$10^{{{power:.0f}}}$" for power in np.arange(low, high + 1)])
            axis.tick_params(labelsize=5, pad=-3)
        axes[0].figure.supylabel("training loss")
        axes[0].figure.supxlabel(" and ".join(AXES["random"]))


def lines(figure: Callable[..., Any], rows: "pd.DataFrame") -> None:
    """The loss along random lines."""
    with figure(height=1.3, sharex=True, sharey=True) as axes:
        for axis, own in _networks(rows, axes):
            for _, line in own.groupby("line"):
                axis.plot(line["x"], line["loss"].clip(*LOSSES), color=figures.COLORS[0], linewidth=0.5)
            axis.set(yscale="log", ylim=LOSSES)
        _label(axes, ("along a random line", "training loss"))


def _figure(canvas: Canvas, name: str, rows: "pd.DataFrame", height: float, **options: Any) -> Any:
    """A figure with a panel a network, of this height in inches."""
    column, beside = _layout(rows)
    kinds = rows.groupby(beside).ngroups
    return canvas.figure(name, rows[column].nunique(), kinds, 0.6 + kinds * height, "of the first seed", **options)


def _layout(rows: "pd.DataFrame") -> tuple[str, list[str]]:
    """In what the networks of a row of panels differ, and in what those of a column do."""
    column = "depth" if rows["depth"].nunique() > 1 else "width"
    return column, [name for name in NETWORK if name != column]


def _networks(rows: "pd.DataFrame", axes: Any) -> Iterator[tuple[Any, "pd.DataFrame"]]:
    """Each panel and its network's rows; the panel of one that diverged is left empty, which it says."""
    column, beside = _layout(rows)
    found = dict(iter(rows.groupby([*beside, column], sort=False)))
    kinds = dict.fromkeys(name[:-1] for name in found)
    values = sorted(set(rows[column]))
    for axis, (kind, value) in zip(axes, itertools.product(kinds, values), strict=True):
        named = zip([*beside, column], (*kind, value), strict=True)
        several = {name: value for name, value in named if rows[name].nunique() > 1}
        axis.set_title(", ".join(v if isinstance(v, str) else f"{name} {v}" for name, v in several.items()))
        if (*kind, value) in found:
            yield axis, found[*kind, value]


def _grid(rows: "pd.DataFrame", column: str, limits: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The coordinates x and y of a plane, and a column over them, Y X, within limits; nothing is above infinity."""
    plane = rows.pivot(index="y", columns="x", values=column)
    return plane.columns.to_numpy(), plane.index.to_numpy(), plane.fillna(np.inf).clip(*limits).to_numpy()


def _label(axes: Any, labels: tuple[str, str]) -> None:
    """Names the axes of the outer panels."""
    for axis in axes:
        place = axis.get_subplotspec()
        axis.set(xlabel=labels[0] if place.is_last_row() else "", ylabel=labels[1] if place.is_first_col() else "")


def _decades(limits: tuple[float, float]) -> np.ndarray:
    """The powers of ten in a range."""
    low, high = np.log10(limits)
    return 10 ** np.arange(low, high + 1)
