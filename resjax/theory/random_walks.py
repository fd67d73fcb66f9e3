"""How far networks of finite width wander from their wide limit: the logarithms of their squares are random walks."""

import numpy as np
from jaxtyping import Float, Real
from scipy.special import digamma, ndtri, polygamma
from scipy.stats import binom


def random_walk(width: int) -> tuple[float, float]:
    """Mean and variance of what a plain ReLU layer with He's weights and no norm adds to ln‖x‖², exactly.

    Let x be behind a Gaussian layer of n units: its direction is uniform, K ~ Binomial(n, ½) of its units are on, and
    Wρ(x) is Gaussian with variance 2‖ρ(x)‖²/n. So ‖Wρ(x)‖²/‖x‖² has the law of (2/n)χ²_K and is independent of all
    that was before. The mean of this factor is 1 at every width, that of its square 1 + 5/n. Its logarithm has
    the mean E ψ(K/2) + ln(4/n) = −5/(2n) − O(1/n²) and the variance E ψ′(K/2) + Var ψ(K/2) = 5/n + O(1/n²).

    After L layers ln‖x‖² is about normal, with L times both: the typical square vanishes like e^(−5L/2n) while the mean
    over networks stays. Gradients on their way back have the same law (Hanin & Nica 2018, arXiv 1812.05994).

    K = 0, where the network is dead, is left out: its probability is 2⁻ⁿ.

    Raises:
      ValueError: a width below 1.
    """
    if width < 1:
        raise ValueError(f"width {width}: must be at least 1")
    on = np.arange(1, width + 1)
    share = binom.pmf(on, width, 0.5)
    share = share / share.sum()
    logarithm = digamma(on / 2) + np.log(4 / width)  # its mean, given K
    mean = share @ logarithm
    return float(mean), float(share @ (polygamma(1, on / 2) + (logarithm - mean) ** 2))


def random_walk_quantiles(
    width: int, layers: Real[np.ndarray, " L"], levels: Real[np.ndarray, " Q"]
) -> Float[np.ndarray, "Q L"]:
    """Quantiles over networks of ln‖x‖² after so many plain layers, less that before them: see `random_walk`."""
    mean, variance = random_walk(width)
    return mean * layers + np.sqrt(variance * layers) * ndtri(levels)[:, None]
