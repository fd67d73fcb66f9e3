"""How a function stretches: the singular values of its Jacobian ∂y/∂x, at one x.

A function takes and gives one example's stream, of any shape; its Jacobian is the matrix between the flattened
ones. `matrix` has it whole. `spectrum` never has it: it comes from products with it and with its transpose.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pandas as pd
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, Shaped
from matfree import decomp

from resjax.network import Network
from resjax.probes import blocks

COLUMNS = 256  # of the matrix, computed at a time
JACOBIAN = "sigma_max", "sigma_min", "condition", "log_determinant"
EXACT = 2048  # entries of a stream up to which `jacobian` has the whole matrix
ROUNDING = 100  # in units of the precision: what is smaller, beside what came before, is zero


def jacobian(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    *,
    key: PRNGKeyArray | None = None,
    steps: int = 100,
) -> pd.DataFrame:
    """A table of each block's Jacobian ∂y/∂x at the streams that inputs x become, in evaluation: a row a block.

    Columns: `block`, from 0; `sigma_max` and `sigma_min`, the largest and smallest singular value, geometric means
    over the inputs; `condition`, their ratio; `log_determinant`, ln |det ∂y/∂x|, the mean over the inputs (NaN where
    the block changes the size of the stream). Streams of more than `EXACT` entries take `steps` of Lanczos, 2
    products each: there `sigma_min` is too large, and `log_determinant` is NaN.

    For the Jacobian of several blocks together see `singular_values` and `blocks.run`.

    Args:
      network, params, state: the network; norms use the running statistics in `state`.
      x: inputs; in float64 small singular values are exact to 1e-16 of the largest, in float32 to 1e-7.
      key: of Lanczos's random starts; by default that of seed 0.
      steps: see above.
    """
    key = jax.random.key(0) if key is None else key
    return blocks.table(_jacobian(network, params, state, x, key, steps), JACOBIAN)


@functools.partial(jax.jit, static_argnames=("network", "steps"))
def _jacobian(network: Network, params, state, x, key, steps: int):
    def probe(trace):
        def one(x):
            return _stretches(lambda x: trace.at(x[None])[0], x, key, steps)

        largest, smallest, determinant = lax.map(one, trace.x)
        largest, smallest = (jnp.exp(jnp.log(values).mean()) for values in (largest, smallest))
        return dict(zip(JACOBIAN, (largest, smallest, largest / smallest, determinant.mean()), strict=True))

    return blocks.run(network, params, state, blocks.before(network, params, state, x), probe)[1]


def _stretches(function: Callable, x, key, steps: int):
    """The largest and the smallest singular value, and the log-determinant."""
    unknown = jnp.asarray(jnp.nan, x.dtype)
    if x.size > EXACT:
        values = spectrum(function, x, key, min(steps, x.size, jax.eval_shape(function, x).size))[0]
        return jnp.nanmax(values), jnp.nanmin(values), unknown
    whole = matrix(function, x)
    values = jnp.linalg.svd(whole, compute_uv=False)
    square = whole.shape[0] == whole.shape[1]
    return values[0], values[-1], jnp.linalg.slogdet(whole)[1] if square else unknown


def matrix(function: Callable, x: Float[Array, "..."]) -> Float[Array, "outputs inputs"]:
    """The Jacobian, column by column: nothing is kept for a way back, however deep the function."""

    def column(direction):
        return jax.jvp(function, (x,), (direction.reshape(x.shape),))[1].ravel()

    return lax.map(column, jnp.eye(x.size, dtype=x.dtype), batch_size=COLUMNS).T


def singular_values(function: Callable, x: Float[Array, "..."]) -> Float[Array, " rank"]:
    """All singular values, largest first; those below the precision of x times the largest are lost."""
    return jnp.linalg.svd(matrix(function, x), compute_uv=False)


def spectrum(
    function: Callable, x: Float[Array, "..."], key: PRNGKeyArray, steps: int, samples: int = 1
) -> tuple[Float[Array, "samples steps"], Float[Array, "samples steps"]]:
    """Singular values without the matrix, by Golub–Kahan–Lanczos bidiagonalisation from random starts.

    Each start gives `steps` values and weights, a Gauss quadrature for the distribution of the squares (stochastic
    Lanczos quadrature, Ubaru et al. 2017): where the spectrum ends, the values are singular values almost exactly (from
    within), and between them their weights say how many there are. With as many steps as x has entries they are all.

    Args:
      function, x: see above.
      key: of the starts.
      steps: values a start, 2 products each; at most the entries of x and of y.
      samples: starts.

    Returns:
      values and weights, the values largest first; the weights of a start sum to one. What is beyond
      an exhausted Krylov space has weight zero and the value nan.
    """

    def product(direction):
        return jax.jvp(function, (x,), (direction.reshape(x.shape),))[1].ravel()

    def one(start):
        (_, _), (diagonal, beside), *_ = decomp.bidiag(steps, materialize=False)(product, start)
        return _of_bidiagonal(diagonal, beside)

    starts = jax.random.normal(key, (samples, x.size), x.dtype)
    return lax.map(one, starts)


def _of_bidiagonal(diagonal, beside):
    """The singular values of Lanczos's matrix, and the squares of their vectors' first entries."""
    # a map of low rank, or with few different singular values, exhausts the space: what follows is noise, or 0/0
    largest = lax.cummax(jnp.nan_to_num(jnp.maximum(diagonal, jnp.pad(beside, (1, 0)))))
    least = ROUNDING * jnp.finfo(diagonal.dtype).eps * largest
    rows = diagonal > least
    links = beside > least[1:]
    columns = jnp.cumprod(jnp.pad(links & rows[:-1], (1, 0), constant_values=True)) == 1
    diagonal = jnp.where(rows & columns, diagonal, 0)
    beside = jnp.where(columns[1:], beside, 0)
    top = 1 + 2 * (diagonal.max() + beside.max(initial=0))
    beyond = jnp.where(columns, 0, top)  # instead of the noise: it comes first, and goes
    _, values, right = jnp.linalg.svd(jnp.diag(diagonal + beyond) + jnp.diag(beside, 1))
    there = jnp.arange(len(diagonal)) < columns.sum()
    gone = (~columns).sum()
    values = jnp.roll(values, -gone)
    weights = jnp.roll(right[:, 0] ** 2, -gone)
    return jnp.where(there, values, jnp.nan), jnp.where(there, weights, 0)


def norm(function: Callable, x: Float[Array, "..."], key: PRNGKeyArray, steps: int = 50) -> Float[Array, ""]:
    """The largest singular value, by at most so many steps of Lanczos; below it by a thousandth at most, mostly."""
    values, _ = spectrum(function, x, key, min(steps, x.size, jax.eval_shape(function, x).size))
    return jnp.nanmax(values)
