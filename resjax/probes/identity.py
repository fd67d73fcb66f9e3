"""Layers that do nothing: a trained network deepened by them, and networks that learn to be the identity."""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from resjax.network import Network
from resjax.nn import BatchNorm
from resjax.probes.whiteness import without_ends
from resjax.random_streams import stream

TEST_INPUTS = 1024


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


def learn(
    network: Network, width: int, *, key: PRNGKeyArray, steps: int, batch_size: int, rate: float
) -> dict[str, float]:
    """Trains the blocks of a dense network with Adam to give their Gaussian input back, ‖f(x) − x‖² being the loss.

    Args:
      network: its blocks are trained, without stem and head.
      width: of the stream.
      key: of weights and inputs.
      steps: of training.
      batch_size: inputs a step, new ones in each.
      rate: the learning rate.

    Returns:
      `first_error` and `last_error`, ‖f(x) − x‖² / ‖x‖² before and after training, on 1024 other inputs. The answer
      zero has an error of 1.
    """
    blocks = without_ends(network)
    x = jax.random.normal(stream(key, "identity_test"), (TEST_INPUTS, width))
    params, state = jax.jit(blocks.init)(stream(key, "weights"), x)
    learner = params, state, optax.adam(rate).init(params)
    first = _error(blocks, *learner[:2], x)
    for step in range(steps):
        inputs = jax.random.fold_in(stream(key, "identity_training"), step)
        learner = _step(blocks, rate, learner, jax.random.normal(inputs, (batch_size, width)))
    return {"first_error": float(first), "last_error": float(_error(blocks, *learner[:2], x))}


@functools.partial(jax.jit, static_argnums=0)
def _error(network: Network, params, state, x):
    y, _, _ = network.apply(params, state, x)
    return ((y - x) ** 2).sum() / (x**2).sum()


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(network: Network, rate: float, learner, x):
    params, state, momenta = learner

    def loss(params):
        y, new_state, _ = network.apply(params, state, x, train=True)
        return ((y - x) ** 2).mean(), new_state

    gradient, state = jax.grad(loss, has_aux=True)(params)
    updates, momenta = optax.adam(rate).update(gradient, momenta)
    return optax.apply_updates(params, updates), state, momenta
