"""Means with 95 % t intervals, of figures and of the tables on the terminal."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95


def interval(values: Sequence[float] | np.ndarray, log: bool = False) -> tuple[float, float, float]:
    """The lower end, the mean and the upper end of the t interval of the mean; of one value the ends are nan.

    Args:
      values: a sample, one value a seed.
      log: the mean is the geometric one, and the interval that of the logarithms.
    """
    sample = np.log(np.asarray(values, np.float64)) if log else np.asarray(values, np.float64)
    mean = sample.mean()
    half = math.nan
    if len(sample) > 1:
        half = stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample))
    low, middle, high = (float(np.exp(end) if log else end) for end in (mean - half, mean, mean + half))
    return low, middle, high


def plus_minus(values: Sequence[float] | np.ndarray) -> str:
    """The mean and half the width of its interval, as 0.94 ± 0.02; of one value that value."""
    low, mean, high = interval(values)
    return f"{mean:.3g}" if math.isnan(high) else f"{mean:.3g} ± {(high - low) / 2:.2g}"


def summarised(grouped: Any, columns: Sequence[str]) -> "pd.DataFrame":
    """A row a group, with `plus_minus` of every column."""
    return grouped[list(columns)].agg(plus_minus).reset_index()
