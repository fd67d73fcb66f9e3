"""The Jacobian ∂y/∂x of all blocks of a network as one map, from the stream before them to the stream behind them.

It is taken at each example by itself, in evaluation: norms use the statistics in the state.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from resjax.network import Network
from resjax.probes import blocks, forward, singular_values
from resjax.training import losses


def through(network: Network, params: dict, state: dict) -> Callable[[Float[Array, "..."]], Float[Array, "..."]]:
    """All blocks as a function of one example's stream, as `resjax.probes.singular_values` takes them."""
    return lambda x: blocks.run(network, params, state, x[None])[0][0]


def matrices(network: Network, params: dict, state: dict, x: Float[Array, "B ..."]) -> Float[Array, "B outputs inputs"]:
    """The Jacobian at each of the streams x before the first block."""
    whole = through(network, params, state)
    return lax.map(lambda x: singular_values.matrix(whole, x), x)


def spectra(
    network: Network, params: dict, state: dict, x: Float[Array, "B ..."], key: PRNGKeyArray, steps: int = 100
) -> tuple[Float[Array, "B values"], Float[Array, " B"]]:
    """The singular values at each stream x, largest first, and the log-determinant.

    Streams of more than `singular_values.EXACT` entries take Lanczos: then there are `steps` values, of which the
    outermost are almost exact, and the log-determinant is NaN.

    Args:
      network, params, state: the network.
      x: the stream before the first block.
      key, steps: of Lanczos.
    """
    if x[0].size > singular_values.EXACT:
        whole = through(network, params, state)
        values = lax.map(lambda x: singular_values.spectrum(whole, x, key, steps)[0][0], x)
        return values, jnp.full(len(x), jnp.nan)
    found = matrices(network, params, state, x)
    return jnp.linalg.svd(found, compute_uv=False), jnp.linalg.slogdet(found)[1]


def stretching(
    network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."], key: PRNGKeyArray
) -> tuple[Float[Array, "B values"], Float[Array, " B"], Float[Array, ""]]:
    """The `spectra` at inputs x, and the mean square of the stream before the blocks."""
    before = blocks.before(network, params, state, x)
    return *spectra(network, params, state, before, key), forward.mean_square(before)


def spread(values: Float[np.ndarray, "B values"], size: int) -> dict[str, float]:
    """How unevenly all blocks stretch.

    Returns:
      sigma_max and sigma_min, geometric means over the examples; condition, their ratio; and rank_share, of the values
      those that are not lost in the rounding of float64 (as `numpy.linalg.matrix_rank` has it).

    Args:
      values: singular values in float64, largest first, as from `spectra`; NaN is no value.
      size: D, the entries of a stream.
    """
    precise = values > np.finfo(np.float64).eps * size * values[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        largest, smallest = (np.exp(np.log(column).mean()) for column in (values[:, 0], np.nanmin(values, axis=1)))
        condition = largest / smallest
    found = {"sigma_max": largest, "sigma_min": smallest, "condition": condition}
    found["rank_share"] = precise.sum() / np.isfinite(values).sum()
    return {name: float(value) for name, value in found.items()}


def conditioning(
    network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."], labels: Shaped[Array, "B ..."]
) -> dict[str, Float[Array, ""]]:
    """How all blocks stretch the stream, and the gradient on its way back through them.

    Returns:
      sigma_max, sigma_min and condition, their ratio: medians over the examples, NaN where a stream overflows; and
      gradient_norm, the norm of the cross-entropy's gradient towards the blocks' input over that towards their output,
      root mean squares over the examples.

    Args:
      network, params, state: the network.
      x, labels: inputs in float64, for in float32 small singular values are lost.
    """
    x = blocks.before(network, params, state, x)
    y, _ = blocks.run(network, params, state, x)
    found = matrices(network, params, state, x)
    behind = _slopes(network, params, state, y, labels).reshape(len(x), -1)  # B D
    before = jnp.einsum("boi,bo->bi", found, behind)
    sigma = jnp.linalg.svd(found, compute_uv=False)  # B D, largest first
    return {
        "gradient_norm": jnp.linalg.norm(before) / jnp.linalg.norm(behind),
        "condition": jnp.median(sigma[:, 0] / sigma[:, -1]),
        "sigma_max": jnp.median(sigma[:, 0]),
        "sigma_min": jnp.median(sigma[:, -1]),
    }


def _slopes(network: Network, params, state, y, labels):
    """The gradient of each example's loss towards the stream behind the last block, B … D."""

    def loss(y):
        return losses.loss(network.run_head(params, state, y), labels).sum()

    return jax.grad(loss)(y)
