"""What is drawn in every figure: lines with bands, what leaves the axes, bars, ticks, legends."""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib
import numpy as np

from resjax.lab import statistics

# Okabe & Ito, safe for colour-blind readers, and a grey
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
STYLES = ("-", "--", ":", "-.")
MARKERS = "osv^D"


def colors(values: Iterable[Any]) -> dict[Any, str]:
    """A colour for each different value, in the order in which they come."""
    return dict(zip(dict.fromkeys(values), itertools.cycle(COLORS), strict=False))


def styles(values: Iterable[Any]) -> dict[Any, str]:
    """A line style for each different value, in the order in which they come."""
    return dict(zip(dict.fromkeys(values), itertools.cycle(STYLES), strict=False))


def markers(values: Iterable[Any]) -> dict[Any, str]:
    """A marker for each different value, in the order in which they come."""
    return dict(zip(dict.fromkeys(values), itertools.cycle(MARKERS), strict=False))


def shades(count: int) -> Any:
    """So many colours for an ordered quantity, dark to light."""
    return matplotlib.colormaps["viridis"]([0.9 * place / max(count - 1, 1) for place in range(count)])


def line(axis: Any, grouped: Any, style: str = "o-", *, log: bool = False, **options: Any) -> None:
    """A line through the mean of every group, with a band, its 95 % t interval; `log`: of the logarithms."""
    ends = {name: statistics.interval(values, log) for name, values in grouped}
    low, mean, high = np.array(list(ends.values())).reshape(-1, 3).T
    axis.fill_between(list(ends), low, high, color=options["color"], alpha=0.2, linewidth=0)
    axis.plot(list(ends), mean, style, **options)


def across(axis: Any, place: float, values: Any, style: str = "o", **options: Any) -> None:
    """A marker at the mean of these values, at this height, and a bar, its 95 % t interval."""
    low, mean, high = statistics.interval(values)
    axis.plot([low, high], [place, place], color=options["color"], linewidth=1)
    axis.plot(mean, place, style, **options)


def leaving(
    axis: Any, x: Iterable[float], y: Iterable[float], limits: tuple[float, float], style: str = "-", **options: Any
) -> None:
    """A line that ends where it leaves the limits of y; a triangle there points to where it goes.

    A line that is nowhere inside has one triangle, in its middle. NaN is no point of the line.

    Args:
      axis: whose scales are set already. Its limits of y become these.
      x, y: the line, N each.
      limits: the least and the largest y.
      style, options: of the line, as in `plot`; they have a color.
    """
    across, up = (own.get_transform() for own in (axis.xaxis, axis.yaxis))
    drawn = np.array([(a, b) for a, b in zip(x, y, strict=True) if not math.isnan(b)], float).reshape(-1, 2)  # N 2
    low, high = up.transform(np.array(limits, float))
    at = across.transform(drawn[:, 0])
    height = np.clip(up.transform(drawn[:, 1]), low - 9 * (high - low), high + 9 * (high - low))  # ∞, too, is a place
    axis.set_ylim(*limits)
    axis.plot(drawn[:, 0], up.inverted().transform(height), style, **options)
    for edge, end, marker, outside in ((low, limits[0], "v", height < low), (high, limits[1], "^", height > high)):
        before = np.flatnonzero(outside[1:] != outside[:-1])  # the points before which, or behind which, it crosses
        share = (edge - height[before]) / (height[before + 1] - height[before])
        places = at[before] + share * (at[before + 1] - at[before])
        if outside.all():
            places = at[len(at) // 2 :][:1]
        for place in across.inverted().transform(places):
            axis.plot(place, end, marker, color=options["color"], markersize=4, clip_on=False)


def leaving_means(
    axis: Any,
    grouped: Any,
    limits: tuple[float, float],
    style: str = "o-",
    *,
    log: bool = False,
    **options: Any,
) -> None:
    """`leaving` through the mean of every group, with a band, its 95 % t interval; `log`: of the logarithms."""
    with np.errstate(divide="ignore", invalid="ignore"):  # of 0 and ∞, which have no interval
        ends = {name: statistics.interval(values, log) for name, values in grouped}
    low, mean, high = np.array(list(ends.values())).reshape(-1, 3).T
    axis.fill_between(list(ends), low, high, color=options["color"], alpha=0.2, linewidth=0)
    leaving(axis, ends, mean, limits, style, **options)


def bars(axis: Any, grouped: Any, crosses: Mapping[Any, float] = {}) -> None:
    """A bar for the median of every group, a dot a value, and a cross where a paper has another number."""
    for place, (name, values) in enumerate(grouped):
        axis.barh(place, values.median(), 0.6, color=COLORS[0], alpha=0.6)
        axis.plot(values, [place] * len(values), "k.")
        axis.plot(crosses.get(name, math.nan), place, "x", color=COLORS[1])
    axis.set_yticks(range(len(grouped)), [str(name) for name, _ in grouped], fontsize=6)
    axis.invert_yaxis()


def log_ticks(axis: Any, values: Iterable[float]) -> None:
    """A logarithmic axis of x with a tick at each of these values and no others."""
    ticks = sorted(set(values))
    axis.set_xscale("log")
    axis.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
