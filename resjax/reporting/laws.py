"""The law that a curve over depth follows: constant, a power of the depth, or exponential in it."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

CONSTANT = math.log(2)  # of a curve whose law moves it by less than a factor of two
FEW = 4  # blocks from which a law can be told


@dataclasses.dataclass(frozen=True)
class Law:
    """The law, and how well it fits."""

    kind: str  # constant, power, exponential, none
    number: float  # of power p: l^p; of exponential the factor a block; else nan
    misfit: float  # root mean square of the residual, in e-folds

    def __str__(self):
        if self.kind == "power":
            return f"∝ l^{self.number:.2g}"
        if self.kind == "exponential":
            return f"×{self.number:.3g} a block"
        return "constant" if self.kind == "constant" else "no law"


NO_LAW = Law("none", math.nan, math.nan)


def law(values: Sequence[float]) -> Law:
    """The law of positive numbers, one a block, by least squares of their logarithms; the better of power and
    exponential, unless that moves them by less than a factor of two.

    Numbers that are zero, infinite or nan end the curve: what is fitted is what comes before.
    """
    sizes = np.asarray(values, float)
    out = ~(np.isfinite(sizes) & (sizes > 0))
    sizes = sizes[: out.argmax()] if out.any() else sizes
    if len(sizes) < FEW:
        return NO_LAW
    logarithm = np.log(sizes)
    blocks = np.arange(1, len(sizes) + 1)
    (power, of_power), (rate, of_rate) = (_fit(x, logarithm) for x in (np.log(blocks), blocks))
    better = Law("power", power, of_power) if of_power < of_rate else Law("exponential", math.exp(rate), of_rate)
    moved = power * math.log(len(sizes)) if of_power < of_rate else rate * (len(sizes) - 1)
    return better if abs(moved) >= CONSTANT else Law("constant", math.nan, float(logarithm.std()))


def _fit(x, y) -> tuple[float, float]:
    """The slope of the line, and the root mean square of what it leaves."""
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(np.sqrt(np.mean((y - slope * x - offset) ** 2)))
