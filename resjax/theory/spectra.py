"""How far apart the singular values of products of many random matrices are."""

import numpy as np
from jaxtyping import ArrayLike, Float, Real
from scipy.special import digamma

from resjax.theory.mean_squares import squares_and_shares


def condition(
    branch: Real[ArrayLike, "..."], norm: str, length: int, layers: int, start: float = 1.0
) -> float | np.floating:
    """The condition number of the Jacobian of many wide blocks x + √branch·F(x), each near the identity.

    That is Π(1 + A_l) with independent Gaussian A_l, s the sum over l of what A_l makes of a unit vector's square:
    κ = (1 + s + √(s² + 2s)) e^√(s² + 2s), by free probability (S-transform), whatever the depth.
    For the arguments see `growth`.
    """
    s = squares_and_shares(1.0, branch, norm, length, layers, start)[1].sum()
    root = np.sqrt(s**2 + 2 * s)
    return (1 + s + root) * np.exp(root)


def gaussian_spread(width: int) -> float:
    """How far a further Gaussian factor, width × width, parts the logarithms of a product's extreme singular values.

    λ₁ − λ_N = ½[ψ(N/2) − ψ(½)], the Lyapunov exponents of a product of many, whatever the variance (Newman 1986,
    Commun. Math. Phys. 103). Orthogonal factors part them by nothing.
    """
    return float(digamma(width / 2) - digamma(0.5)) / 2


def gaussian_conditions(condition: float, width: int, factors: int) -> Float[np.ndarray, " {factors}+1"]:
    """The condition number, from `condition` on, of products with 0 … factors Gaussian matrices of this width.

    At most e⁷⁰⁰, where float64 ends.
    """
    return np.exp(np.minimum(np.log(condition) + gaussian_spread(width) * np.arange(factors + 1), 700))
