"""What is known of networks at their start as the width grows: the lines in the figures.

κ0 and κ1 are the arc-cosine kernels of degree 0 and 1 (Cho & Saul 2009): for Gaussian inputs at cosine c
to ReLU units, κ0 is twice the share of units that both inputs switch on, κ1 the cosine behind them.
"""

import numpy as np
from scipy.optimize import brentq

from resjax.errors import UserError

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(201)  # for means over a normal distribution
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def kappa0(c):
    """κ0(c) = 1 − arccos(c)/π."""
    return 1 - np.arccos(np.clip(c, -1, 1)) / np.pi


def kappa1(c):
    """κ1(c) = [√(1 − c²) + c(π − arccos c)]/π."""
    c = np.clip(c, -1, 1)
    return (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi


def cosines(start: float, length: int, skip: bool = False, layers: int = 1) -> np.ndarray:
    """The cosine between two inputs before each of `length` blocks and behind the last: length + 1.

    A block is `layers` ReLU layers of He variance, x + F(x) with a `skip`: both parts are equally large.
    """
    found = [start]
    for _ in range(length):
        c = found[-1]
        for _ in range(layers):
            c = kappa1(c)
        found.append((found[-1] + c) / 2 if skip else c)
    return np.array(found)


def gradient_correlation(start: float, length: int, skip: bool = False) -> np.ndarray:
    """Correlation of the gradients at two inputs through the last 0 … length blocks of one ReLU layer: length + 1.

    Σ g·g′ / Σ g² takes κ0(c_l) a block, of a residual one (1 + κ0(c_l))/2, where the cosine c_l grows
    with the layer. Balduzzi et al. take c_l = 0 for all l, hence 2^−L and (3/4)^L: true where every
    unit's mean over the inputs is taken away, as batch norm does.
    """
    each = kappa0(cosines(start, length, skip)[:-1])
    return np.concatenate([[1.0], np.cumprod((1 + each) / 2 if skip else each)])


def normalized_residual(beta: float, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Variance and covariance of the gradients of x + βWρ(BN(x)) at two inputs, 0 … length blocks: length + 1 each.

    The stream's variance before block l is 1 + β²l, by which the norm divides: a block multiplies the
    gradient's variance by 1 + β²/(1 + β²l), which makes 1 + β²L, and the covariance, half of whose units
    are on for one input alone, by 1 + ½β²/(1 + β²l), which makes about β√L.
    """
    ratio = beta**2 / (1 + beta**2 * np.arange(length))
    return tuple(np.concatenate([[1.0], np.cumprod(1 + ratio * share)]) for share in (1, 0.5))


def mean_field(weight_variance: float, bias_variance: float = 0.0) -> tuple[float, float]:
    """q*, the variance of a unit that wide tanh layers keep, and χ1 = σ_w² E[φ′(√q* z)²] there.

    χ1 is what a layer multiplies the gradient's mean square by; 1 is the edge of chaos
    (Schoenholz et al. 2017, arXiv 1611.01232, eqs. 3 and 6).

    Raises:
      UserError: a negative variance.
    """
    if weight_variance < 0 or bias_variance < 0:
        raise UserError(f"variances {weight_variance} and {bias_variance}: must not be negative")

    def grown(q: float) -> float:
        return weight_variance * (WEIGHTS * np.tanh(np.sqrt(q) * NODES) ** 2).sum() + bias_variance - q

    ordered = bias_variance == 0 and weight_variance <= 1  # then only q = 0 stays
    q = 0.0 if ordered else brentq(grown, 1e-12, weight_variance + bias_variance + 1)
    slope = 1 / np.cosh(np.sqrt(q) * NODES) ** 2
    return q, weight_variance * (WEIGHTS * slope**2).sum()


def depth_scale(chi: float) -> float:
    """ξ = 1/|ln χ1|: layers over which a signal falls, or grows, by e; ∞ at the edge of chaos."""
    return np.inf if chi == 1 else 1 / abs(np.log(chi))
