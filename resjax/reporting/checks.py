"""The checks of a report: each a number, what to think of it, and why."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from resjax.reporting.calibrated import LIMITS
from resjax.reporting.indicators import indicators
from resjax.reporting.laws import law
from resjax.reporting.limits import BAD, OK, WATCH
from resjax.training import search

NONE = "seen"  # no judgement
HALF = 0.5  # of what its shallowest network learns: who learns less at a depth does not train there
MOST = 0.9  # of it: who learns less is to be watched
LEAST = 0.05  # of what there is to learn: who learns less does not train, whatever its shallowest network does
STEEP = 1.0  # the rate falls by as many decades as the depth grows


class Check(NamedTuple):
    """One line of a report."""

    check: str
    value: float  # nan where there is none
    shown: str  # what the reader sees
    status: str  # ok, watch, bad or nothing
    threshold: str
    reason: str  # of the threshold
    experiment: str  # which has the whole of it


WHY = {
    "activations": "what grows or vanishes over the blocks leaves the range in which weights learn",
    "gradients": "the first blocks' steps are larger or smaller than the last ones' by the root of this",
    "inputs": "inputs that have become one cannot be told apart by the head (Schoenholz et al. 2017)",
    "tokens": "tokens that have become one: rank collapse (Dong et al. 2021)",
    "shattering": "gradients that are white noise over the inputs (Balduzzi et al. 2017)",
    "condition": "of a chain that stretches unevenly some directions carry no gradient",
    "contracting": "blocks whose F(x) stretches somewhere have no certain inverse (Behrmann et al. 2019)",
    "dead": "units that are zero for all inputs do not learn",
}
FROM = {"shattering": "shattered_gradients", "condition": "invertibility", "contracting": "invertibility"}


def of_start(seen: Mapping[str, Any]) -> list[Check]:
    """A check an indicator, of what `start.read` has found; without those that this network has not."""
    return [
        Check(
            name,
            value,
            shown(name, value, seen),
            LIMITS[name].status(value) if name in LIMITS else NONE,
            f"in decades: {LIMITS[name]}" if name in LIMITS else "no limit",
            WHY[name],
            FROM.get(name, "signal_propagation"),
        )
        for name, value in indicators(seen).items()
        if not math.isnan(value)
    ]


def shown(name: str, value: float, seen: Mapping[str, Any]) -> str:
    """An indicator in words."""
    if name in ("activations", "gradients"):
        squares = seen[f"{name[:-1]}_mean_square"]
        return f"{law(squares)}, {power(value)}" if name == "activations" else f"{law(squares[::-1])}, {power(value)}"
    if name in ("inputs", "tokens"):
        cosines = seen[f"{name[:-1]}_cosine"]
        return f"cosine {cosines[0]:.2f} → {cosines[-1]:.2f}"
    if name == "shattering":
        return f"cosine {0.5 - value:.2f}"
    if name == "condition":
        return f"κ {power(value).removeprefix('×')}"
    what = "contract" if name == "contracting" else "dead"
    return f"{100 * (1 - value if name == 'contracting' else value):.0f} % {what}"


def power(decades: float) -> str:
    """A factor, given in decades."""
    if math.isinf(decades):
        return "out of range"
    return f"×10^{decades:.1f}" if abs(decades) >= 2 else f"×{10**decades:.2g}"


def trains(share: float, shallowest: float) -> bool:
    """Whether a network that learns this share trains, beside the shallowest one like it."""
    return share >= max(LEAST, HALF * shallowest)


def of_training(rates: Sequence[Mapping[str, Any]], depth: int) -> list[Check]:
    """The checks of what was trained: a row a network, with depth, learning_rate, steps, train_loss, share."""
    best = {own: best_of(rates, own) for own in sorted({row["depth"] for row in rates})}
    shallowest = next(iter(best))
    shares = {own: mean_share(rates, own, best[own]) for own in best}
    ratio = shares[depth] / shares[shallowest] if shares[shallowest] else 0.0
    tried = sorted({row["learning_rate"] for row in rates})
    stable = {own: largest_stable(rates, own, shares[shallowest]) for own in best}
    works = trains(shares[depth], shares[shallowest])
    checks = [
        Check(
            "learned",
            shares[depth],
            f"{100 * shares[depth]:.0f} % (depth {shallowest}: {100 * shares[shallowest]:.0f} %)",
            BAD if not works else OK if ratio >= MOST else WATCH,
            f"ok from {MOST:g} of what depth {shallowest} learns, bad below {HALF:g} of it or {100 * LEAST:.0f} %",
            "identity layers would make the deep network as good as the shallow one (He et al. 2015)",
            "depth_scaling",
        ),
        Check(
            "best rate",
            best[depth],
            ", ".join(f"{rate:g} at {own}" for own, rate in best.items()),
            WATCH if works and len(tried) > 1 and best[depth] in (tried[0], tried[-1]) else NONE,
            "watch at the lowest or highest tried",
            "a better one may lie beyond",
            "learning_rate",
        ),
        Check(
            "largest stable rate",
            stable[depth],
            ", ".join(f"{rate:g} at {own}" if rate else f"none at {own}" for own, rate in stable.items()),
            BAD if not stable[depth] else WATCH if slope(stable, shallowest, depth) > STEEP else OK,
            f"watch where it falls faster than 1/depth^{STEEP:g}, bad where none is",
            "a rate that must fall with the depth slows what does not need it",
            "learning_rate",
        ),
    ]
    return checks


def of_frontiers(frontiers: Mapping[int, int], depth: int) -> Check:
    """The check of the deepest networks that train within these steps, by step: see `frontier`."""
    deepest = min(frontiers.values())
    return Check(
        "frontier",
        float(deepest),
        ", ".join(f"{found or 'none'} in {steps} steps" for steps, found in frontiers.items()),
        OK if deepest == depth else WATCH if max(frontiers.values()) == depth else BAD,
        "ok if the depth asked for trains in half of the steps, watch if in all",
        "with more steps deeper networks train; a frontier is no number without them",
        "depth_frontier",
    )


def best_of(rates: Sequence[Mapping[str, Any]], depth: int) -> float:
    """The best rate at a depth."""
    own: dict[float, list[Mapping[str, Any]]] = {}
    for row in rates:
        if row["depth"] == depth:
            own.setdefault(row["learning_rate"], []).append(row)
    return search.best_rate(own)


def mean_share(rates: Sequence[Mapping[str, Any]], depth: int, rate: float) -> float:
    """What is learned at a depth and rate, mean over the seeds."""
    own = [row["share"] for row in rates if (row["depth"], row["learning_rate"]) == (depth, rate)]
    return sum(own) / len(own)


def largest_stable(rates: Sequence[Mapping[str, Any]], depth: int, shallowest: float) -> float:
    """The largest rate at which a depth trains, in the mean over the seeds; 0 if there is none."""
    tried = {row["learning_rate"] for row in rates if row["depth"] == depth}
    return max((rate for rate in tried if trains(mean_share(rates, depth, rate), shallowest)), default=0.0)


def slope(stable: Mapping[int, float], shallowest: int, depth: int) -> float:
    """By how many decades the rate falls while the depth grows tenfold."""
    if depth == shallowest or not stable[shallowest] or not stable[depth]:
        return 0.0
    return math.log(stable[shallowest] / stable[depth]) / math.log(depth / shallowest)


def frontier(curves: Sequence[Mapping[str, Any]], depths: Sequence[int], steps: int, shallowest: float) -> int:
    """The deepest network, of those down to which all train, that has learned half of `shallowest` by this step.

    Args:
      curves: rows with depth, step and share, of batches, of each depth's best rate; a row a seed, whose mean counts.
      depths: that were trained, from the shallowest on; one without a row has learned nothing.
      steps: at most.
      shallowest: the share that the shallowest network learns at the end.
    """
    deepest = 0
    for depth in depths:
        shares: dict[int, list[float]] = {}
        for row in curves:
            if row["depth"] == depth and row["step"] <= steps:
                shares.setdefault(row["step"], []).append(row["share"])
        if not trains(max((sum(own) / len(own) for own in shares.values()), default=0.0), shallowest):
            break
        deepest = depth
    return deepest
