"""How white gradients are (Balduzzi et al. 2017, arXiv 1702.08591): as a series over inputs, and between inputs.

All functions take one network; `jax.vmap` over parameters and state takes many.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from resjax.layers import Layers
from resjax.network import Network
from resjax.nn.norms import NoNorm
from resjax.probes.forward import started


def scalars(grid: Float[Array, " N"]) -> Float[Array, "N 1 1 2"]:
    """Numbers as images N 1 1 2: beside each stands a one, so that the stem's weights are slope and bias."""
    return jnp.stack([grid, jnp.ones_like(grid)], axis=-1)[:, None, None]


def scalar_slopes(network: Network, params: dict, state: dict, grid: Float[Array, " N"]) -> Float[Array, " N"]:
    """df/dx at every x of the grid, of a network with one output that takes `scalars`.

    Norms use `state`, so that f is a function of one number: see `settled`.
    """
    return jax.grad(lambda x: network.apply(params, state, scalars(x))[0].sum())(grid)


def settled(
    network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."], key: PRNGKeyArray | None = None
) -> dict:
    """The state whose statistics are those of the batch x, for norms with momentum 0 (see `norms.of_last_batch`).

    Args:
      network, params, state: the network.
      x: the batch.
      key: for networks that draw (dropout).
    """
    return network.apply(params, state, x, Layers(key=key), train=True)[1]


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


def autocorrelation(series: Float[Array | np.ndarray, " N"], lags: int) -> Float[Array, " {lags}+1"]:
    """The sample autocorrelation of a series at lags 0 … lags.

    Raises:
      ValueError: a lag as long as the series.
    """
    if lags >= len(series):
        raise ValueError(f"lag {lags}: the series has {len(series)} points, so the largest lag is {len(series) - 1}")
    centred = series - series.mean()
    products = jnp.correlate(centred, centred, mode="full")[len(series) - 1 :]
    return products[: lags + 1] / products[0]


def noise_autocorrelation(
    brown: bool, random: np.random.Generator, series: int, points: int, lags: int
) -> Float[np.ndarray, " {lags}+1"]:
    """The mean sample autocorrelation, at lags 0 … lags, of so many series of white noise, or of Brown noise.

    It is not that of one endless series: a sample's mean is taken away, which a short series feels.
    """
    noise = random.standard_normal((series, points))
    noise = noise.cumsum(axis=1) if brown else noise
    return np.mean([autocorrelation(one, lags) for one in noise], axis=0)


def whiteness(network: Network, key: PRNGKeyArray, points: int, lags: int) -> dict[str, Float[Array, "..."]]:
    """How white the gradients of a network with random weights are, in both settings of Balduzzi et al. 2017.

    Returns:
      autocorrelation, at lags 0 … lags, of df/dx over a grid of [−2, 2] of a function f of one number, for which the
      stem is the first of the layers; gradient_variance and gradient_covariance, see `moments`, of all blocks at
      independent Gaussian inputs.

    Args:
      network: dense, with one stack of blocks, one output, and norms with momentum 0 (see `norms.of_last_batch`).
      key: of weights, inputs and direction.
      points: inputs on the grid, and independent ones.
      lags: the largest lag.
    """
    scalar_key, blocks_key, inputs_key, direction_key = jax.random.split(key, 4)
    (stack,) = network.stacks
    shorter = (dataclasses.replace(stack, length=stack.length - 1),) if stack.length > 1 else ()
    scalar = dataclasses.replace(network, stages=shorter)
    grid = jnp.linspace(-2, 2, points)
    params, state = started(scalar, scalar_key, scalars(grid))
    state = settled(scalar, params, state, scalars(grid))
    slopes = scalar_slopes(scalar, params, state, grid)
    blocks = without_ends(network)
    width = network.stem.width
    x = jax.random.normal(inputs_key, (points, width))
    params, state = started(blocks, blocks_key, x)
    state = settled(blocks, params, state, x)
    direction = jax.random.normal(direction_key, (width,)) / width**0.5
    return moments(blocks, params, state, x, direction) | {"autocorrelation": autocorrelation(slopes, lags)}


def of_many(
    network: Network, seed: int, networks: int, points: int, lags: int
) -> dict[str, Float[np.ndarray, "N ..."]]:
    """`whiteness` of so many networks, whose keys are split from that of a seed, in one program."""
    each = jax.vmap(lambda key: whiteness(network, key, points, lags))
    return jax.device_get(jax.jit(each)(jax.random.split(jax.random.key(seed), networks)))
