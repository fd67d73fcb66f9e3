"""Between which limits an indicator lies in networks that train: chosen from some, and applied to others."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

OK = "ok"
WATCH = "watch"
BAD = "bad"
DIGITS = 3  # of a limit
MARGIN = 0.5  # decades, a factor of three: how far beyond all that trains lies what a limit tells, at least


class Limits(NamedTuple):
    """ok from `low` to `high`, bad below `least` and above `most`, between them to be watched."""

    least: float = -math.inf
    low: float = -math.inf
    high: float = math.inf
    most: float = math.inf

    def status(self, value: float) -> str:
        """ok, watch or bad; what left the range upwards, or is no number at the end, is bad."""
        if value == math.inf:
            return BAD
        if self.low <= value <= self.high:
            return OK
        return BAD if value < self.least or value > self.most else WATCH

    def __str__(self):
        below = f"ok from {self.low:g}, bad below {self.least:g}" if math.isfinite(self.least) else ""
        above = f"ok to {self.high:g}, bad above {self.most:g}" if math.isfinite(self.most) else ""
        return "; ".join(filter(None, (below, above)))


def of_all(seen: Mapping[str, Sequence[float]], trains: Sequence[bool]) -> dict[str, Limits]:
    """The fewest limits beyond which no network lies that trains, and as many as there are of those that do not.

    A limit is added at a time: on that side of that indicator on which the most networks, not yet told, lie beyond all
    that train, by a margin. What trains is ok; what is beyond half of the way on to the nearest of the others is bad.

    Args:
      seen: by indicator a number a network; nan is none.
      trains: whether it does.
    """
    values = {name: np.asarray(own, float) for name, own in seen.items()}
    works = np.asarray(trains, bool)
    open_ones = ~works
    found: dict[str, Limits] = {}
    while True:
        beyond = {}
        for name, own in values.items():
            if not np.isnan(own[works]).all():
                beyond[name, "low"] = open_ones & (own < np.nanmin(own[works]) - MARGIN)
                beyond[name, "high"] = open_ones & (own > np.nanmax(own[works]) + MARGIN)
        name, side = max(beyond, key=lambda key: beyond[key].sum())
        told_now = beyond[name, side]
        if not told_now.any():
            return found
        own = values[name]
        edge, nearest = (
            (np.nanmin(own[works]), own[told_now].max())
            if side == "low"
            else (np.nanmax(own[works]), own[told_now].min())
        )
        end = _rounded(_between(edge, nearest))
        pair = {"least": end, "low": _rounded(edge)} if side == "low" else {"high": _rounded(edge), "most": end}
        found[name] = found.get(name, Limits())._replace(**pair)
        open_ones &= ~told_now


def _between(good: float, poor: float) -> float:
    """Half of the way; of a way without end one decade."""
    return (good + poor) / 2 if math.isfinite(poor) else good + math.copysign(1, poor)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def two_fold(seen: Mapping[str, Sequence[float]], trains: Sequence[bool], seeds: int = 1) -> dict[str, int]:
    """How often the start says right and wrong, and cannot tell, each half by the limits that the other half chose.

    Returns:
      right, wrong and open, of all networks. The halves are every other one, with all its seeds, which stand together.
    """
    found = dict.fromkeys(("right", "wrong", "open"), 0)
    halves = [[at for at in range(len(trains)) if at // seeds % 2 == half] for half in (0, 1)]
    for own, other in (halves, halves[::-1]):
        limits = of_all(
            {name: [values[at] for at in other] for name, values in seen.items()}, [trains[i] for i in other]
        )
        for at in own:
            said = told(limits, {name: values[at] for name, values in seen.items()})
            found["open" if said is None else "right" if said == trains[at] else "wrong"] += 1
    return found


def told(limits: Mapping[str, Limits], seen: Mapping[str, float]) -> bool | None:
    """Whether a network trains, by its start: not if an indicator is bad, yes if all are ok, else None."""
    found = {own.status(seen[name]) for name, own in limits.items() if not math.isnan(seen.get(name, math.nan))}
    if BAD in found:
        return False
    return True if found == {OK} else None
