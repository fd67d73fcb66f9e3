"""How white gradients are (Balduzzi et al. 2017, arXiv 1702.08591): as a series over inputs, and between inputs.

All functions take one network; `jax.vmap` over parameters and state takes many.
"""

import dataclasses

import jax
import jax.numpy as jnp

from resjax.errors import UserError
from resjax.networks import Network
from resjax.normalizers import NoNorm


def scalars(grid):
    """Numbers (N,) as images N 1 1 2: beside each stands a one, so that the stem's weights are slope and bias."""
    return jnp.stack([grid, jnp.ones_like(grid)], axis=-1)[:, None, None]


def scalar_slopes(network: Network, params, state, grid):
    """df/dx at every x of the grid (N,), of a network with one output that takes `scalars`: N.

    Norms use `state`, so that f is a function of one number: see `settled`.
    """
    return jax.grad(lambda x: network.apply(params, state, scalars(x))[0].sum())(grid)


def settled(network: Network, params, state, x):
    """The state whose statistics are those of the batch x, for norms with momentum 0."""
    return network.apply(params, state, x, train=True)[1]


def without_ends(network: Network) -> Network:
    """The blocks alone: from the first block's stream (B … D) to the last one's."""
    return dataclasses.replace(network, stem=NoNorm(), head=NoNorm())


def moments(network: Network, params, state, x, direction):
    """Gradients of direction·f(x_b) at independent inputs x_b (B … D), compared over pairs of inputs.

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


def autocorrelation(series, lags: int):
    """The sample autocorrelation of a series (N,) at lags 0 … lags: lags + 1.

    Raises:
      UserError: a lag as long as the series.
    """
    if lags >= len(series):
        raise UserError(f"lag {lags}: the series has {len(series)} points, so the largest lag is {len(series) - 1}")
    centred = series - series.mean()
    products = jnp.correlate(centred, centred, mode="full")[len(series) - 1 :]
    return products[: lags + 1] / products[0]
