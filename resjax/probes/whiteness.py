"""How white gradients are (Balduzzi et al. 2017, arXiv 1702.08591): as a series over inputs, and between inputs.

All functions take one network; `jax.vmap` over parameters and state takes many.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Shaped

from resjax.network import Network
from resjax.nn.norms import NoNorm


def scalars(grid: Float[Array, " N"]) -> Float[Array, "N 1 1 2"]:
    """Numbers as images N 1 1 2: beside each stands a one, so that the stem's weights are slope and bias."""
    return jnp.stack([grid, jnp.ones_like(grid)], axis=-1)[:, None, None]


def scalar_slopes(network: Network, params: dict, state: dict, grid: Float[Array, " N"]) -> Float[Array, " N"]:
    """df/dx at every x of the grid, of a network with one output that takes `scalars`.

    Norms use `state`, so that f is a function of one number: see `settled`.
    """
    return jax.grad(lambda x: network.apply(params, state, scalars(x))[0].sum())(grid)


def settled(network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."]) -> dict:
    """The state whose statistics are those of the batch x, for norms with momentum 0."""
    return network.apply(params, state, x, train=True)[1]


def without_ends(network: Network) -> Network:
    """The blocks alone: from the first block's stream (B … D) to the last one's."""
    return dataclasses.replace(network, stem=NoNorm(), head=NoNorm())


def moments(
    network: Network, params: dict, state: dict, x: Float[Array, "B ..."], direction: Float[Array, " K"]
) -> dict[str, Float[Array, ""]]:
    """Gradients of direction·f(x_b) at independent inputs x_b, compared over pairs of inputs.

    Returns:
      gradient_variance, the mean of ‖g_b‖²; gradient_covariance, the mean of g_b·g_c over b ≠ c.
    """

    def total(x):
        return (network.apply(params, state, x)[0] * direction).sum()

    slopes = jax.grad(total)(x).reshape(len(x), -1)  # B D
    squares = (slopes**2).sum()
    crossed = (slopes.sum(0) ** 2).sum() - squares
    return {
        "gradient_variance": squares / len(x),
        "gradient_covariance": crossed / (len(x) * (len(x) - 1)),
    }


def autocorrelation(series: Float[ArrayLike, " N"], lags: int) -> Float[Array, " {lags}+1"]:
    """The sample autocorrelation of a series at lags 0 … lags.

    Raises:
      ValueError: a lag as long as the series.
    """
    if lags >= len(series):
        raise ValueError(f"lag {lags}: the series has {len(series)} points, so the largest lag is {len(series) - 1}")
    centred = series - series.mean()
    products = jnp.correlate(centred, centred, mode="full")[len(series) - 1 :]
    return products[: lags + 1] / products[0]
