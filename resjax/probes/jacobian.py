"""How a function stretches: the singular values of its Jacobian ∂y/∂x, at one x.

A function takes and gives one example's stream, of any shape; its Jacobian is the matrix between the flattened
ones. `matrix` has it whole. `spectrum` never has it: it comes from products with it and with its transpose.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from matfree import decomp, stochtrace

from resjax.errors import UserError

COLUMNS = 256  # of the matrix, computed at a time
ROUNDING = 100  # in units of the precision: what is smaller, beside what came before, is zero


def matrix(function: Callable, x):
    """The Jacobian, outputs × inputs, column by column: nothing is kept for a way back, however deep the function."""

    def column(direction):
        return jax.jvp(function, (x,), (direction.reshape(x.shape),))[1].ravel()

    return lax.map(column, jnp.eye(x.size, dtype=x.dtype), batch_size=COLUMNS).T


def singular_values(function: Callable, x):
    """All singular values, largest first; those below the precision of x times the largest are lost."""
    return jnp.linalg.svd(matrix(function, x), compute_uv=False)


def spectrum(function: Callable, x, key, steps: int, samples: int = 1):
    """Singular values without the matrix, by Golub–Kahan–Lanczos bidiagonalisation from random starts.

    Each start gives `steps` values and weights, a Gauss quadrature for the distribution of the squares (stochastic
    Lanczos quadrature, Ubaru et al. 2017): where the spectrum ends, the values are singular values almost exactly (from
    within), and between them their weights say how many there are. With as many steps as x has entries they are all.

    Args:
      function, x: see above.
      steps: values a start, 2 products each; at most the entries of x and of y.
      samples: starts.

    Returns:
      values and weights, samples × steps, the values largest first; the weights of a start sum to one. What is beyond
      an exhausted Krylov space has weight zero and the value nan.
    """

    def product(direction):
        return jax.jvp(function, (x,), (direction.reshape(x.shape),))[1].ravel()

    def one(start):
        (_, _), (diagonal, beside), *_ = decomp.bidiag(steps, materialize=False)(product, start)
        # a map of low rank, or with few different singular values, exhausts the space: what follows is noise, or 0/0
        largest = lax.cummax(jnp.nan_to_num(jnp.maximum(diagonal, jnp.pad(beside, (1, 0)))))
        least = ROUNDING * jnp.finfo(x.dtype).eps * largest
        rows, links = diagonal > least, beside > least[1:]
        columns = jnp.cumprod(jnp.pad(links & rows[:-1], (1, 0), constant_values=True)) == 1
        diagonal, beside = jnp.where(rows & columns, diagonal, 0), jnp.where(columns[1:], beside, 0)
        top = 1 + 2 * (diagonal.max() + beside.max(initial=0))
        beyond = jnp.where(columns, 0, top)  # instead of the noise: it comes first, and goes
        _, values, right = jnp.linalg.svd(jnp.diag(diagonal + beyond) + jnp.diag(beside, 1))
        there, gone = jnp.arange(steps) < columns.sum(), (~columns).sum()
        values, weights = jnp.roll(values, -gone), jnp.roll(right[:, 0] ** 2, -gone)
        return jnp.where(there, values, jnp.nan), jnp.where(there, weights, 0)

    starts = jax.random.normal(key, (samples, x.size), x.dtype)
    return lax.map(one, starts)


def norm(function: Callable, x, key, steps: int = 50):
    """The largest singular value, by at most so many steps of Lanczos; below it by a thousandth at most, mostly."""
    values, _ = spectrum(function, x, key, min(steps, x.size, jax.eval_shape(function, x).size))
    return jnp.nanmax(values)


def log_determinant(function: Callable, x):
    """ln |det ∂y/∂x|, of a square Jacobian."""
    return jnp.linalg.slogdet(matrix(function, x))[1]


def log_determinant_series(residual: Callable, x, key, terms: int, samples: int):
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


def truncation_error(constant: float, dimensions: int, terms: int) -> float:
    """A bound on what the series leaves out: −d[ln(1 − c) + Σ_{k ≤ n} cᵏ/k] (Behrmann et al. 2019, theorem 3).

    Raises:
      UserError: a constant of 1 or more, for which the series need not converge.
    """
    if not 0 <= constant < 1:
        raise UserError(f"Lipschitz constant {constant:g}: the series needs one below 1")
    return -dimensions * (jnp.log1p(-constant) + sum(constant**k / k for k in range(1, terms + 1)))
