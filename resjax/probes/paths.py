"""Paths: on the way back, a residual network of L blocks is a sum of 2ᴸ of them (Veit et al. 2016, arXiv 1605.06431).

A block gives the gradient back through its branch and past it, ∂L/∂x = ∂L/∂y (1 + ∂F/∂x). Multiplied out, a
network's gradient has one summand for every subset of its blocks: the path that goes through their
branches and past those of all others. Its length is their number.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import softmax
from scipy.stats import binom

from resjax.networks import Network
from resjax.stack import Layers

TOGETHER = 16  # paths that share one way forward


@jax.custom_vjp
def fork(x, through):
    """A fork (see `Stack.apply`) with the branch's gradient where the path goes `through` it, and else the skip's."""
    return x, x


def _backward(through, gradients):
    branch, direct = gradients
    return jnp.where(through, branch, direct), None


fork.defvjp(lambda x, through: ((x, x), through), _backward)


def path_gradient(network: Network, params, state, images, labels, chosen, key=None):
    """The gradient of the mean cross-entropy towards the images (B H W C) along one path.

    Args:
      network, params, state: the network, and as its `init` made them.
      images, labels: a batch, B H W C and B; norms take their statistics from it.
      chosen: through which blocks' branches the path goes, L bool.
      key: for networks that draw (dropout).
    """

    def loss(images):
        logits, _, _ = network.apply(params, state, images, Layers(sink=chosen, key=key), train=True, fork=fork)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return jax.grad(loss)(images)


@functools.partial(jax.jit, static_argnums=0)
def path_norms(network: Network, params, state, images, labels, chosen, key=None):
    """The norms of `path_gradient` along many paths, chosen N L: N.

    The program does not grow with N. The way forward is the same for all paths, so `vmap` goes it once.
    """

    def norm(chosen):
        return jnp.linalg.norm(path_gradient(network, params, state, images, labels, chosen, key).ravel())

    return jax.lax.map(norm, chosen, batch_size=TOGETHER)


def masks(key, length: int, chosen: int, samples: int):
    """Random subsets of `chosen` of `length` blocks: samples L bool."""
    keys = jax.random.split(key, samples)
    return jax.vmap(lambda key: jax.random.permutation(key, length) < chosen)(keys)


def shares(length: int) -> np.ndarray:
    """The share of paths that are k = 0 … L long, L + 1: that of the subsets with k of L blocks."""
    return binom.pmf(np.arange(length + 1), length, 0.5)


def contributions(norms) -> np.ndarray:
    """The share of the gradient that paths of length 0 … L bring, L + 1, from the mean norm of each length's.

    As in the paper: the number of paths times their norm; what they cancel of each other is not taken off.
    """
    length = len(norms) - 1
    with np.errstate(divide="ignore"):  # norms may be zero
        return softmax(binom.logpmf(np.arange(length + 1), length, 0.5) + np.log(norms))


def central(shares, part: float = 0.95) -> tuple[int, int]:
    """The shortest and the longest length of the middle range that holds `part` of the shares."""
    low, high = np.searchsorted(np.cumsum(shares), [(1 - part) / 2, (1 + part) / 2])
    return int(low), int(high)
