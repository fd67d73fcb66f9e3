"""The log-determinant of a function's Jacobian at one x: what a flow's change of variables needs.

For functions as in `resjax.probes.singular_values`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray
from matfree import stochtrace

from resjax.probes.singular_values import matrix


def log_determinant(function: Callable, x: Float[Array, "..."]) -> Float[Array, ""]:
    """ln |det ∂y/∂x|, of a square Jacobian."""
    return jnp.linalg.slogdet(matrix(function, x))[1]


def log_determinant_series(
    residual: Callable, x: Float[Array, "..."], key: PRNGKeyArray, terms: int, samples: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """ln det(I + J) by its power series, for a residual whose Jacobian J at x has norm below 1.

    Σ_k (−1)^(k+1) tr(Jᵏ)/k for k = 1 … terms, each trace as the mean of vᵀJᵏv over random signs v (Hutchinson 1990;
    Behrmann et al. 2019, arXiv 1811.00995, eq. 4).

    Returns:
      The mean over the samples, and its standard error. What the terms left out amount to is `truncation_error`.
    """

    def one(signs):
        def add(product, k):
            product = jax.jvp(residual, (x,), (product,))[1]
            return product, -((-1.0) ** k) * (signs * product).sum() / k

        return lax.scan(add, signs, jnp.arange(1, terms + 1, dtype=x.dtype))[1].sum()

    found = lax.map(one, stochtrace.sampler_signs(x, num=samples)(key))
    return found.mean(), found.std(ddof=1) / samples**0.5


def truncation_error(constant: float, dimensions: int, terms: int) -> float | Float[Array, ""]:
    """A bound on what the series leaves out: −d[ln(1 − c) + Σ_{k ≤ n} cᵏ/k] (Behrmann et al. 2019, theorem 3).

    Raises:
      ValueError: a constant of 1 or more, for which the series need not converge.
    """
    if not 0 <= constant < 1:
        raise ValueError(f"Lipschitz constant {constant:g}: the series needs one below 1")
    return -dimensions * (jnp.log1p(-constant) + sum(constant**k / k for k in range(1, terms + 1)))


def bounds(constants: Float[Array | np.ndarray, " L"], dimensions: int) -> tuple[float, float]:
    """What ln |det ∂y/∂x| of L maps x + g(x) in a row is between: D Σ ln(1 − c) and D Σ ln(1 + c).

    The lower one is −∞ where a constant is 1 or more.

    Args:
      constants: c, a Lipschitz constant of each g.
      dimensions: D, of x.
    """
    lower = dimensions * np.log1p(-constants).sum() if (constants < 1).all() else -np.inf
    return float(lower), float(dimensions * np.log1p(constants).sum())
