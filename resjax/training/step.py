"""Single steps of training; for one network, or for several of one kind at a time.

Several networks have a leading axis in their `TrainState`, M, and train under one `vmap`. They differ in their keys: in
weights and, unless they are streamed, in batches. The step and the key of stochastic depth's gates they share, so that
a block that is dropped is dropped in all, and saves its time.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, Shaped

from resjax.data import Source
from resjax.layers import Layers
from resjax.network import Network
from resjax.random_streams import stream
from resjax.system.sharding import Layout
from resjax.training.compilation import jit_unoptimized
from resjax.training.tasks import CLASSIFICATION, Task


class TrainState(NamedTuple):
    """What a step changes, and what a checkpoint holds."""

    params: Any
    state: Any
    optimizer: Any
    key: Key[Array, "*M"]
    gates: PRNGKeyArray
    step: Int[Array, ""]


SEVERAL = TrainState(0, 0, 0, 0, None, None)  # type: ignore[arg-type]  # the axis of M, for `vmap`


def keys_of(seed: int, num_seeds: int = 0) -> Key[Array, "*M"]:
    """The key of a run, (); for several networks together M keys, of this seed and those that follow."""
    if not num_seeds:
        return jax.random.key(seed)
    return jax.vmap(jax.random.key)(jnp.arange(seed, seed + num_seeds))


def initial_state(
    network: Network,
    tx: optax.GradientTransformation,
    key: Key[Array, "*M"],
    x: Shaped[Array, "B ..."],
    layout: Layout | None = None,
) -> TrainState:
    """The state before the first step, for inputs shaped like x (B H W C for images), with one key or M."""

    def start(key):
        params, state = network.init(stream(key, "weights"), x)
        return params, state, tx.init(params), stream(key, "gates")

    params, state, momenta, gates = jax.vmap(start)(key) if key.ndim else start(key)
    found = TrainState(params, state, momenta, key, gates[0] if key.ndim else gates, jnp.zeros((), jnp.int32))
    return layout.settle(found) if layout else found


def initialize(
    network: Network,
    tx: optax.GradientTransformation,
    key: Key[Array, "*M"],
    x: Shaped[Array, "B ..."],
    layout: Layout | None = None,
) -> TrainState:
    """`initial_state`, compiled."""
    return jit_unoptimized(initial_state, (0, 1, 4))(network, tx, key, x, layout)


@functools.partial(jax.jit, static_argnames=("network", "tx", "layout", "task"), donate_argnames=("train_state",))
def train_step(
    network: Network,
    tx: optax.GradientTransformation,
    train_state: TrainState,
    source: Source,
    layout: Layout | None = None,
    task: Task = CLASSIFICATION,
) -> tuple[TrainState, Float[Array, "*M"], Float[Array, "*M"]]:
    """One step on the batch that the source has for it: the new state, the loss and the accuracy (of M networks, M)."""

    def step(train_state, source):
        gradient, (mean_loss, accuracy, state) = batch_gradient(network, train_state, source, layout, task)
        updates, momenta = tx.update(gradient, train_state.optimizer, train_state.params)
        params = optax.apply_updates(train_state.params, updates)
        new = train_state._replace(params=params, state=state, optimizer=momenta, step=train_state.step + 1)
        return new, mean_loss, accuracy

    if train_state.key.ndim:
        step = jax.vmap(step, in_axes=(SEVERAL, source.several), out_axes=(SEVERAL, 0, 0))
    new, *seen = step(train_state, source)
    return (layout.settle(new), *layout.gather(seen)) if layout else (new, *seen)


def batch_gradient(
    network: Network,
    train_state: TrainState,
    source: Source,
    layout: Layout | None = None,
    task: Task = CLASSIFICATION,
) -> tuple[Any, tuple[Float[Array, ""], Float[Array, ""], Any]]:
    """The gradient of the mean loss of one step's batch, and (loss, accuracy, new state)."""
    step = train_state.step
    inputs, targets = source.batch(stream(train_state.key, "augmentations"), step)  # B H W C, B
    if layout:
        inputs, targets = layout.split((inputs, targets))
    noise = jax.random.fold_in(stream(train_state.key, "noise"), step)
    layers = Layers(key=noise, gates=jax.random.fold_in(train_state.gates, step))
    hold = layout.hold if layout else None

    def loss_fn(params):
        outputs, state, _ = network.apply(params, train_state.state, inputs, layers, train=True, hold=hold)  # B K
        mean = task.loss(outputs, targets).mean()
        return mean, (mean, task.score(outputs, targets).mean(), state)

    return jax.grad(loss_fn, has_aux=True)(train_state.params)


def member(tree: Any, at: int) -> Any:
    """One of several networks' parameters, state or both."""
    return jax.tree.map(lambda leaf: leaf[at], tree)
