"""How far apart the singular values of products of many random matrices are."""

import functools

import numpy as np
from jaxtyping import ArrayLike, Float, Real
from scipy.special import digamma

from resjax.theory.mean_squares import squares_and_shares


def condition(
    branch: Real[ArrayLike, "..."], norm: str, length: int, layers: int, start: float = 1.0
) -> float | np.floating:
    """The condition number of the Jacobian of many wide blocks x + √branch·F(x), each near the identity.

    That is Π(1 + A_l) with independent Gaussian A_l, s the sum over l of what A_l makes of a unit vector's square:
    κ = (1 + s + √(s² + 2s)) e^√(s² + 2s), by free probability (S-transform), whatever the depth. The A_l of linear
    layers are independent. Those of ReLU layers are not, for most units stay on, or off, from block to block: see
    `relu_condition`. For the arguments see `growth`.
    """
    s = squares_and_shares(1.0, branch, norm, length, layers, start)[1].sum()
    root = np.sqrt(s**2 + 2 * s)
    return (1 + s + root) * np.exp(root)


@functools.cache
def relu_condition(branch: tuple[float, ...], layers: int, width: int = 512, draws: int = 4) -> float:
    """The condition number of the Jacobian of wide ReLU blocks x + √branch·F(x) with He's weights and no norm.

    Simulated, for there is no formula: the geometric mean over `draws` chains of this width, always the same ones.

    Args:
      branch: a number a block, as from `paths`.
      layers: of a branch.
      width: of the chains.
      draws: how many.
    """
    random = np.random.default_rng(0)
    return float(np.exp(np.mean([_log_condition(branch, layers, width, random) for _ in range(draws)])))


def _log_condition(branch: tuple[float, ...], layers: int, width: int, random: np.random.Generator) -> float:
    """ln κ of one chain's Jacobian, at a Gaussian x."""
    x = random.standard_normal(width)
    jacobian = np.eye(width)
    for through in branch:
        f = x
        slope = jacobian
        for _ in range(layers):
            weights = random.standard_normal((width, width)) * np.sqrt(2 / width)
            on = f > 0
            slope = weights[:, on] @ slope[on]
            f = weights[:, on] @ f[on]
        x = x + np.sqrt(through) * f
        jacobian = jacobian + np.sqrt(through) * slope
    sigma = np.linalg.svd(jacobian, compute_uv=False)
    return float(np.log(sigma[0] / sigma[-1]))


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
