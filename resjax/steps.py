"""Single steps: of training, and of evaluation; for one network, or for several of one kind at a time.

Several networks have a leading axis in their `Carry`, M, and train under one `vmap`. They differ in their keys: in
weights and batches. The step and the key of stochastic depth's gates they share, so that a block that
is dropped is dropped in all, and saves its time.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from resjax.compiling import quickly
from resjax.mesh import Layout
from resjax.networks import Network
from resjax.optimizers import Optimizer
from resjax.resident import Shuffled
from resjax.stack import Layers
from resjax.stream import Given

WEIGHTS, _, NOISE, CHANGES, GATES = range(5)  # what a run's key is folded with, for each of its independent uses


class Carry(NamedTuple):
    """What a step changes, and what a checkpoint holds."""

    params: Any
    state: Any
    optimizer: Any
    key: jax.Array
    gates: jax.Array
    step: jax.Array


SEVERAL = Carry(0, 0, 0, 0, None, None)  # the axis of M, for `vmap`


def key_of(seed: int, together: int = 0):
    """The key of a run; for several together M keys, of this seed and those that follow."""
    return jax.vmap(jax.random.key)(jnp.arange(seed, seed + together)) if together else jax.random.key(seed)


def initial_carry(network: Network, optimizer: Optimizer, key, images, layout: Layout | None = None) -> Carry:
    """The state before the first step, for images shaped like the given ones (B H W C), with one key or M."""

    def start(key):
        params, state = network.init(jax.random.fold_in(key, WEIGHTS), images)
        return params, state, optimizer.build().init(params), jax.random.fold_in(key, GATES)

    params, state, momenta, gates = jax.vmap(start)(key) if key.ndim else start(key)
    carry = Carry(params, state, momenta, key, gates[0] if key.ndim else gates, jnp.zeros((), jnp.int32))
    return layout.settle(carry) if layout else carry


def initialize(network: Network, optimizer: Optimizer, key, images, layout: Layout | None = None) -> Carry:
    """`initial_carry`, compiled."""
    return quickly(initial_carry, (0, 1, 4))(network, optimizer, key, images, layout)


@functools.partial(jax.jit, static_argnames=("network", "optimizer", "layout"), donate_argnames=("carry",))
def train_step(
    network: Network, optimizer: Optimizer, carry: Carry, source: Shuffled | Given, layout: Layout | None = None
):
    """One step on the batch that the source has for it; returns the new carry, the loss and the accuracy."""

    def step(carry, source):
        gradient, (loss, accuracy, state) = batch_gradient(network, carry, source, layout)
        updates, momenta = optimizer.build().update(gradient, carry.optimizer, carry.params)
        params = optax.apply_updates(carry.params, updates)
        carry = carry._replace(params=params, state=state, optimizer=momenta, step=carry.step + 1)
        return carry, loss, accuracy

    if carry.key.ndim:
        step = jax.vmap(step, in_axes=(SEVERAL, source.several), out_axes=(SEVERAL, 0, 0))
    carry, loss, accuracy = step(carry, source)
    return (layout.settle(carry), *layout.gather((loss, accuracy))) if layout else (carry, loss, accuracy)


def batch_gradient(network: Network, carry: Carry, source: Shuffled | Given, layout: Layout | None = None):
    """The gradient of the mean loss of one step's batch, and (loss, accuracy, new state)."""
    images, labels = source.batch(jax.random.fold_in(carry.key, CHANGES), carry.step)  # B H W C, B
    if layout:
        images, labels = layout.split((images, labels))
    noise = jax.random.fold_in(jax.random.fold_in(carry.key, NOISE), carry.step)
    layers = Layers(key=noise, gates=jax.random.fold_in(carry.gates, carry.step))

    def loss_fn(params):
        logits, state, _ = network.apply(params, carry.state, images, layers, train=True)  # B K
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, (loss, (logits.argmax(-1) == labels).mean(), state)

    return jax.grad(loss_fn, has_aux=True)(carry.params)


@functools.partial(jax.jit, static_argnames=("network", "layout"))
def evaluate_batch(network: Network, params, state, images, labels, layers: Layers, layout: Layout | None = None):
    """Losses and hits of images B H W C, in evaluation: B, B."""
    if layout:
        images, labels = layout.split((images, labels))
    logits, _, _ = network.apply(params, state, images, layers)
    found = optax.softmax_cross_entropy_with_integer_labels(logits, labels), logits.argmax(-1) == labels
    return layout.gather(found) if layout else found
