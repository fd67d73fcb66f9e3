"""The mean field of wide tanh layers: which variance stays, and what becomes of the gradient."""

import numpy as np
from scipy.optimize import brentq

NODES = np.linspace(-12, 12, 20001)  # for means over a normal distribution, of slopes as narrow as 1/√q
WEIGHTS = np.exp(-(NODES**2) / 2)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def mean_field(weight_variance: float, bias_variance: float = 0.0) -> tuple[float, float]:
    """q*, the variance of a unit that wide tanh layers keep, and χ1 = σ_w² E[φ′(√q* z)²] there.

    χ1 is what a layer multiplies the gradient's mean square by; 1 is the edge of chaos
    (Schoenholz et al. 2017, arXiv 1611.01232, eqs. 3 and 6). The weights' variance σ_w² is times their fan-in.

    Raises:
      ValueError: a negative variance.
    """
    if weight_variance < 0 or bias_variance < 0:
        raise ValueError(f"variances {weight_variance} and {bias_variance}: must not be negative")

    def grown(q: float) -> float:
        return weight_variance * (WEIGHTS * np.tanh(np.sqrt(q) * NODES) ** 2).sum() + bias_variance - q

    ordered = bias_variance == 0 and weight_variance <= 1  # then only q = 0 stays
    q = 0.0 if ordered else brentq(grown, 1e-12, weight_variance + bias_variance + 1)
    slope = 1 - np.tanh(np.sqrt(q) * NODES) ** 2
    return q, weight_variance * (WEIGHTS * slope**2).sum()


def depth_scale(chi: float) -> float:
    """ξ = 1/|ln χ1|, in layers, over which a signal falls, or grows, by e; ∞ at the edge of chaos."""
    return np.inf if chi == 1 else 1 / abs(np.log(chi))
