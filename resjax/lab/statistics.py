"""Means with 95 % t intervals, of figures and of the tables on the terminal."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95


def interval(values: Sequence[float] | np.ndarray, log: bool = False) -> tuple[float, float, float]:
    """The lower end, the mean and the upper end of the t interval of the mean; of one value the ends are nan.

    Args:
      values: a sample, one value a seed.
      log: the mean is the geometric one, and the interval that of the logarithms.
    """
    with np.errstate(all="ignore"):  # what is infinite, or without end, stays so
        sample = np.log(np.asarray(values, np.float64)) if log else np.asarray(values, np.float64)
        mean = sample.mean()
        half = math.nan
        if len(sample) > 1:
            half = special.stdtrit(len(sample) - 1, (1 + CONFIDENCE) / 2) * sample.std(ddof=1) / math.sqrt(len(sample))
        ends = np.array([mean - half, mean, mean + half])
        low, middle, high = (np.exp(ends) if log else ends).tolist()
    return low, middle, high


def plus_minus(values: Sequence[float] | np.ndarray) -> str:
    """The mean and half the width of its interval, as 0.94 ± 0.02; of one value that value."""
    low, mean, high = interval(values)
    return f"{mean:.3g}" if math.isnan(high) else f"{mean:.3g} ± {(high - low) / 2:.2g}"


def summarised(grouped: Any, columns: Sequence[str]) -> "pd.DataFrame":
    """A row a group, with `plus_minus` of every column."""
    return grouped[list(columns)].agg(plus_minus).reset_index()


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """The lower end, Spearman's ρ and the upper end, over the pairs without a nan; all nan for fewer than five.

    The interval is Fisher's, with the variance (1 + ρ²/2) / (n − 3) of Bonett & Wright (2000, Psychometrika 65, 23–28).
    """
    from scipy import stats  # most of a second that other tables do not need

    pairs = np.array([x, y], np.float64)
    pairs = pairs[:, ~np.isnan(pairs).any(0)]
    count = pairs.shape[1]
    if count < 5 or (pairs == pairs[:, :1]).all(1).any():
        return math.nan, math.nan, math.nan
    rho = float(stats.spearmanr(*pairs).statistic)
    half = special.ndtri((1 + CONFIDENCE) / 2) * math.sqrt((1 + rho**2 / 2) / (count - 3))
    middle = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    return float(np.tanh(middle - half)), rho, float(np.tanh(middle + half))


def spikes(losses: Sequence[float], height: float = 0.1, before: int = 5) -> int:
    """How many losses of a curve stand so far above the median of those before."""
    medians = (float(np.median(losses[max(0, at - before) : at])) for at in range(1, len(losses)))
    return sum(loss > median + height for loss, median in zip(losses[1:], medians, strict=True))


def sensitivity(losses: Sequence[float], first: float) -> float:
    """What is lost, in the mean over the learning rates of these losses, against the best: E min(ℓ, ℓ₀) − min ℓ.

    `first`, ℓ₀, is the loss before training, or that of guessing, and that of a network that diverged (Wortsman et al.
    2023, 2309.14322).
    """
    capped = np.fmin(np.asarray(losses, float), first)  # nan is first
    return float(capped.mean() - capped.min())
