"""A short training run at a learning rate: runs of one network at many rates share one compiled program."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from resjax.data import Examples, Source
from resjax.network import Network
from resjax.training.step import TrainState, batch_gradient, initialize

ABOVE = 2  # a run whose loss ends at more than so many times the first has diverged


@dataclasses.dataclass(frozen=True)
class Trial:
    """What became of a run."""

    rate: float
    first_loss: float
    last_loss: float  # mean over the last steps; nan if the loss stopped being finite
    diverged: bool  # the loss stopped being finite, or ended at more than twice the first
    diverged_step: int | None  # the first whose loss was not finite
    gradient_norms: tuple[float, ...]  # of all parameters, before each step, where finite; one nan if none was


def run(
    network: Network,
    tx: optax.GradientTransformation,
    examples: Examples,
    rate: float,
    *,
    steps: int,
    batch_size: int,
    key: jax.Array,
    augmentations: Sequence[Callable] = (),
    last: int = 5,
) -> Trial:
    """Trains a network from its start at a learning rate, until `steps` are done or the loss is not finite.

    Args:
      network: what is trained.
      tx: any optax transformation, of learning rate 1.
      examples: the training split.
      rate: what the updates are taken times.
      steps: of training.
      batch_size: examples a step.
      key: of weights, batches and all else that is drawn.
      augmentations: random changes of the training examples, as in `resjax.fit`.
      last: so many losses at the end are averaged.
    """
    state = initialize(network, tx, key, jnp.zeros((1, *examples.shape), jnp.float32))
    batches = examples.batches(batch_size, tuple(augmentations), key)
    losses = []
    norms = []
    for at in range(steps):
        state, loss, norm = _step(network, tx, state, batches.at(at), rate)
        losses.append(float(loss))
        norms.append(float(norm))
        if not math.isfinite(losses[-1]):
            break
    finite = math.isfinite(losses[-1])
    last_loss = float(np.mean(losses[-last:])) if finite else math.nan
    return Trial(
        rate=rate,
        first_loss=losses[0],
        last_loss=last_loss,
        diverged=not finite or last_loss > ABOVE * losses[0],
        diverged_step=None if finite else len(losses),
        gradient_norms=tuple(norm for norm in norms if math.isfinite(norm)) or (math.nan,),
    )


@functools.partial(jax.jit, static_argnames=("network", "tx"), donate_argnames=("state",))
def _step(network: Network, tx: optax.GradientTransformation, state: TrainState, source: Source, rate: float):
    """A training step whose update is taken `rate` times; also the loss and the gradient's norm before it."""
    gradient, (loss, _, moved) = batch_gradient(network, state, source)
    updates, optimizer_state = tx.update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, jax.tree.map(lambda update: rate * update, updates))
    state = state._replace(params=params, state=moved, optimizer=optimizer_state, step=state.step + 1)
    return state, loss, optax.global_norm(gradient)
