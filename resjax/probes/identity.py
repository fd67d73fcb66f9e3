"""Layers that do nothing: a trained network deepened by them, and networks that learn to be the identity."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Key

from resjax.network import Network
from resjax.nn import BatchNorm
from resjax.probes.whiteness import without_ends
from resjax.random_streams import stream

TEST_INPUTS = 1024
EVERY = 20  # steps between looks at the error
RECTIFIED = (1 - 2 / math.pi) / 2  # E(x − E(x | ρ(x)))² of a Gaussian x: half of the time only its sign is known


def deepen(params: dict, state: dict, length: int) -> tuple[dict, dict]:
    """Parameters and state of a network of one stage, with identity blocks behind its own up to `length` blocks.

    For plain dense blocks with a ReLU behind them (order `post`): the stream is nowhere negative, so unit weights leave
    it as it is, and so does batch norm with mean 0, variance 1 and scale √(1 + ε).
    """
    unit = (1 + BatchNorm.epsilon) ** 0.5

    def identity(path, leaf):
        more = (length - len(leaf), *leaf.shape[1:])
        match path[-1].key:
            case "kernel":
                inputs, outputs = leaf.shape[1:]
                added = jnp.broadcast_to(jnp.eye(inputs, outputs, dtype=leaf.dtype), more)
            case "scale":
                added = jnp.full(more, unit, leaf.dtype)
            case "var":
                added = jnp.ones(more, leaf.dtype)
            case _:  # biases and means
                added = jnp.zeros(more, leaf.dtype)
        return jnp.concatenate([leaf, added])

    def deeper(tree):
        return tree | {"stages": jax.tree_util.tree_map_with_path(identity, tree["stages"])}

    return deeper(params), deeper(state)


class Learned(NamedTuple):
    """What S × R networks learned: ‖f(x) − x‖² / ‖x‖² `first` and `last`, and the `steps` to the target, else nan."""

    first: Float[Array, "S R"]
    last: Float[Array, "S R"]
    steps: Float[Array, "S R"]


@functools.partial(jax.jit, static_argnames=("network", "width", "steps", "batch_size", "target"))
def learn(
    network: Network,
    width: int,
    keys: Key[Array, " S"],
    rates: Float[Array | np.ndarray, " R"],
    *,
    steps: int,
    batch_size: int,
    target: float,
) -> Learned:
    """Trains the blocks of a dense network with Adam to give their Gaussian input back; the loss is ‖f(x) − x‖².

    All seeds and rates train together. No input comes twice, so the error on the 1024 others is that of training.
    The answer zero has an error of 1.

    A plain block of order `between`, W2 ρ(W1 x + b1) + b2, is the identity where x ≥ −c: W1 and W2 are unit matrices,
    b1 = c and b2 = −c. One of order `pre` sees ρ(x) alone: no weights get it below an error of `RECTIFIED`.

    Args:
      network: its blocks are trained, without stem and head.
      width: of the stream.
      keys: of weights and inputs.
      rates: the learning rates.
      steps: of training; there is a look at the error at every 20th, or more often where 20 does not divide them.
      batch_size: inputs a step, new ones in each.
      target: an error.
    """
    blocks = without_ends(network)
    adam = optax.scale_by_adam()
    every = math.gcd(steps, EVERY)

    def one(key, rate):
        def step(learner, at):
            params, state, momenta = learner
            inputs = jax.random.fold_in(stream(key, "identity_training"), at)
            gradient, state = _gradient(blocks, params, state, jax.random.normal(inputs, (batch_size, width)))
            updates, momenta = adam.update(gradient, momenta)
            params = jax.tree.map(lambda leaf, update: leaf - (rate * update).astype(leaf.dtype), params, updates)
            return (params, state, momenta), None

        def look(learner, at):
            (params, state, momenta), _ = lax.scan(step, learner, at)
            return (params, state, momenta), _error(blocks, params, state, x)

        x = jax.random.normal(stream(key, "identity_test"), (TEST_INPUTS, width))
        params, state = blocks.init(stream(key, "weights"), x)
        first = _error(blocks, params, state, x)
        _, later = lax.scan(look, (params, state, adam.init(params)), jnp.arange(steps).reshape(-1, every))
        there = jnp.append(first, later) <= target
        return Learned(first, later[-1], jnp.where(there.any(), every * there.argmax(), jnp.nan))

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(keys, rates)


def _error(network: Network, params, state, x):
    y, _, _ = network.apply(params, state, x)
    return ((y - x) ** 2).sum() / (x**2).sum()


def _gradient(network: Network, params, state, x):
    def loss(params):
        y, new_state, _ = network.apply(params, state, x, train=True)
        return ((y - x) ** 2).mean(), new_state

    return jax.grad(loss, has_aux=True)(params)
