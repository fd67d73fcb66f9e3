"""Paths: on the way back, a residual network of L blocks is a sum of 2ᴸ of them (Veit et al. 2016, arXiv 1605.06431).

A block gives the gradient back through its branch and past it, ∂L/∂x = ∂L/∂y (1 + ∂F/∂x). Multiplied out, a
network's gradient has one summand for every subset of its blocks: the path that goes through their
branches and past those of all others. Its length is their number.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped
from scipy.special import softmax
from scipy.stats import binom

from resjax.layers import Layers
from resjax.network import Network
from resjax.probes import blocks, forks
from resjax.random_streams import stream
from resjax.training import losses

AT_ONCE = 16  # paths that share one way forward


def paths(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    key: PRNGKeyArray,
    samples: int = 16,
) -> pd.DataFrame:
    """A table of the gradient's paths, a row a length k, from 0 to L.

    Columns: `length`, in blocks whose branches the path goes through; `paths`, the share of all 2ᴸ paths that are so
    long; `gradient_norm`, the mean over random paths of ‖∂(mean cross-entropy)/∂x‖ along one; `gradient_norm_low` and
    `gradient_norm_high`, their quartiles; `contribution`, see `contributions`. Norms take the statistics of the batch.

    The gradients of long paths leave the range of float32: give x in float64. Of tokens x is what the stem makes of
    them.

    Args:
      network, params, state: the network, and as its `init` made them.
      x, labels: a batch.
      key: of the random paths, and for networks that draw (dropout).
      samples: paths of each length.
    """
    network, x = blocks.embedded(network, params, state, x)
    lengths = jnp.arange(network.length + 1)
    keys = jax.random.split(stream(key, "paths"), len(lengths))
    chosen = jax.vmap(lambda key, length: masks(key, network.length, length, samples))(keys, lengths)
    chosen = chosen.reshape(-1, network.length)
    norms = np.asarray(path_norms(network, params, state, x, labels, chosen, stream(key, "noise")))
    return table(norms.reshape(-1, samples))


def table(norms: Float[np.ndarray, "lengths samples"]) -> pd.DataFrame:
    """The table that `paths` gives, from the gradients' norms along some paths of each length."""
    return pd.DataFrame(
        {
            "length": np.arange(len(norms)),
            "paths": shares(len(norms) - 1),
            "gradient_norm": norms.mean(1),
            "gradient_norm_low": np.quantile(norms, 0.25, axis=1),
            "gradient_norm_high": np.quantile(norms, 0.75, axis=1),
            "contribution": contributions(norms.mean(1)),
        }
    )


def path_gradient(
    network: Network,
    params: dict,
    state: dict,
    x: Float[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    chosen: Bool[Array, " L"],
    key: PRNGKeyArray | None = None,
) -> Float[Array, "B ..."]:
    """The gradient of the mean cross-entropy towards the inputs x along one path.

    Args:
      network, params, state: the network, and as its `init` made them.
      x, labels: a batch; norms take their statistics from it.
      chosen: through which blocks' branches the path goes.
      key: for networks that draw (dropout).
    """

    def loss(x):
        layers = Layers(grad_tap=chosen, key=key)
        logits, _, _ = network.apply(params, state, x, layers, train=True, fork=forks.choosing)
        return losses.loss(logits, labels).mean()

    return jax.grad(loss)(x)


@functools.partial(jax.jit, static_argnums=0)
def path_norms(
    network: Network,
    params: dict,
    state: dict,
    x: Float[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    chosen: Bool[Array, "N L"],
    key: PRNGKeyArray | None = None,
) -> Float[Array, " N"]:
    """The norms of `path_gradient` along many paths.

    The program does not grow with N. The way forward is the same for all paths, so `vmap` goes it once.
    """

    def norm(chosen):
        return jnp.linalg.norm(path_gradient(network, params, state, x, labels, chosen, key).ravel())

    return jax.lax.map(norm, chosen, batch_size=AT_ONCE)


def masks(key: PRNGKeyArray, length: int, chosen: int | Int[Array, ""], samples: int) -> Bool[Array, "samples L"]:
    """Random subsets of `chosen` of `length` blocks."""
    keys = jax.random.split(key, samples)
    return jax.vmap(lambda key: jax.random.permutation(key, length) < chosen)(keys)


def shares(length: int) -> Float[np.ndarray, " {length}+1"]:
    """The share of paths that are k = 0 … L long: that of the subsets with k of L blocks."""
    return binom.pmf(np.arange(length + 1), length, 0.5)


def contributions(norms: Float[np.ndarray, " lengths"]) -> Float[np.ndarray, " lengths"]:
    """The share of the gradient that paths of length 0 … L bring, from the mean norm of each length's.

    As in the paper: the number of paths times their norm; what they cancel of each other is not taken off. NaN if no
    path brings any.
    """
    length = len(norms) - 1
    with np.errstate(divide="ignore", invalid="ignore"):  # norms may be zero, one of them or all
        return softmax(binom.logpmf(np.arange(length + 1), length, 0.5) + np.log(norms))


def central(shares: Float[np.ndarray, " lengths"], part: float = 0.95) -> tuple[int, int]:
    """The shortest and the longest length of the middle range that holds `part` of the shares."""
    low, high = np.searchsorted(np.cumsum(shares), [(1 - part) / 2, (1 + part) / 2])
    return int(low), int(high)
