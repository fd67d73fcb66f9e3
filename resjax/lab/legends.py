"""Legends: one above all panels, or one of colours and one of lines; names at the ends of lines."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

ENTRIES = 6  # of a legend, at most
APART = 0.06  # names at the ends of lines, in heights of the axis


def legend(axes: Iterable[Any], columns: int) -> None:
    """One legend above all panels, each label once; of more than `ENTRIES` two, colours left and lines right."""
    axes = list(axes)
    shown = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure = axes[0].figure
    if len(shown) <= ENTRIES:
        figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=columns)
        return
    shown = factored(shown)
    coloured = {label: handle for label, handle in shown.items() if len(set(to_rgb(handle.get_color()))) > 1}
    others = {label: handle for label, handle in shown.items() if label not in coloured}
    for own, place in ((coloured, "outside upper left"), (others, "outside upper right")):
        if own:
            figure.legend(own.values(), own.keys(), loc=place, ncols=2 if len(own) > 3 else 1)


def factored(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Entries "a, b" whose colour is that of a and whose line is that of b as entries a and b; others as they are."""
    pairs = {label: label.rpartition(", ")[::2] for label in shown if ", " in label}
    often = collections.Counter(second for _, second in pairs.values())
    pairs = {label: pair for label, pair in pairs.items() if often[pair[1]] > 1}  # else it is a comma of prose
    colors: dict[str, set[str]] = {}
    lines: dict[str, set[Any]] = {}
    for label, (first, second) in pairs.items():
        colors.setdefault(first, set()).add(shown[label].get_color())
        lines.setdefault(second, set()).add(shown[label].get_linestyle())
    if not pairs or any(len(own) > 1 for own in (*colors.values(), *lines.values())):
        return dict(shown)
    found = {first: Line2D([], [], color=own.pop(), marker="o") for first, own in colors.items()}
    found |= {second: Line2D([], [], color="k", linestyle=own.pop()) for second, own in lines.items()}
    return found | {label: handle for label, handle in shown.items() if label not in pairs}


def name_ends(axis: Any, ends: Mapping[str, tuple[float, str]]) -> None:
    """Names to the right of an axis, at the heights where their lines end, moved apart: name -> (y, colour)."""
    low, high = axis.get_ylim()
    heights = {name: (y - low) / (high - low) for name, (y, _) in ends.items()}
    names = sorted(heights, key=heights.__getitem__)
    for name, place in zip(names, spread([heights[name] for name in names], APART), strict=True):
        style = {"color": ends[name][1], "fontsize": 7, "va": "center", "transform": axis.transAxes}
        axis.text(1.03, place, name, **style)


def spread(places: Sequence[float], apart: float) -> list[float]:
    """Rising places, moved so that they are at least so far apart, each group about its middle."""
    groups = [[place] for place in places]
    at = 0
    while at + 1 < len(groups):
        middle, other = (float(np.mean(own)) for own in groups[at : at + 2])
        if other - middle < apart * (len(groups[at]) + len(groups[at + 1])) / 2:
            groups[at : at + 2] = [groups[at] + groups[at + 1]]
            at = max(at - 1, 0)
        else:
            at += 1
    return [float(np.mean(own)) + apart * (k - (len(own) - 1) / 2) for own in groups for k in range(len(own))]
