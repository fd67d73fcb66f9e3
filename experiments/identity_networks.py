"""What `identity` computes: a network deepened by identity layers, and networks that learn the identity."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import optax

from resjax.lab import registry, trial
from resjax.lab.config import Point
from resjax.network import Network
from resjax.nn import BatchNorm
from resjax.probes.whiteness import without_ends
from resjax.random_streams import stream
from resjax.training.evaluation import evaluate

TEST_INPUTS = 1024


def deepen(params, state, length: int):
    """Parameters and state of a one-stage network, with identity blocks behind its own up to `length` blocks.

    For plain blocks with a ReLU behind them (order `post`): the stream is nowhere negative, so unit
    weights leave it as it is, and so does batch norm with mean 0, variance 1 and scale √(1 + ε).
    """
    unit = (1 + BatchNorm.epsilon) ** 0.5

    def identity(path, leaf):
        more = (length - len(leaf), *leaf.shape[1:])
        match path[-1].key:
            case "kernel":
                added = jnp.broadcast_to(jnp.eye(*leaf.shape[1:], dtype=leaf.dtype), more)
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


def deepened(point, shallow: Point, folder: pathlib.Path) -> dict[str, float]:
    """Loss and accuracies of the network `shallow`, trained in `folder`, deepened to `point.deep` layers."""
    _, carry, dataset = trial.trained(shallow, folder)
    network = registry.network(dataclasses.replace(shallow, depth=point.deep), dataset.classes)
    params, state = deepen(carry.params, carry.state, network.length)
    loss, accuracy = evaluate(network, params, state, dataset.train)
    _, test_accuracy = evaluate(network, params, state, dataset.test)
    return {"train_loss": loss, "train_accuracy": accuracy, "test_accuracy": test_accuracy}


def learn(point) -> dict[str, float]:
    """The relative errors, before and after training, of the point's blocks as a model of the identity."""
    network = without_ends(registry.network(point, 1))
    key = jax.random.key(point.seed)
    x = jax.random.normal(stream(key, "identity_test"), (TEST_INPUTS, point.width))
    params, state = jax.jit(network.init)(stream(key, "weights"), x)
    optimizer = optax.adam(point.map_rate)
    carry = params, state, optimizer.init(params)
    first = _error(network, *carry[:2], x)
    for step in range(point.map_steps):
        inputs = jax.random.fold_in(stream(key, "identity_training"), step)
        carry = _step(network, point.map_rate, carry, jax.random.normal(inputs, (point.batch_size, point.width)))
    return {"first_error": float(first), "last_error": float(_error(network, *carry[:2], x))}


@functools.partial(jax.jit, static_argnums=0)
def _error(network: Network, params, state, x):
    y, _, _ = network.apply(params, state, x)
    return ((y - x) ** 2).sum() / (x**2).sum()


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(network: Network, rate: float, carry, x):
    params, state, momenta = carry

    def loss(params):
        y, new_state, _ = network.apply(params, state, x, train=True)
        return ((y - x) ** 2).mean(), new_state

    gradient, state = jax.grad(loss, has_aux=True)(params)
    updates, momenta = optax.adam(rate).update(gradient, momenta)
    return optax.apply_updates(params, updates), state, momenta
