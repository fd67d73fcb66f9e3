"""How good a network is on a whole split."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from resjax.data import Examples
from resjax.layers import Layers
from resjax.network import Network
from resjax.system.sharding import Layout
from resjax.training.tasks import CLASSIFICATION, Task

BATCH = 512  # examples
TOKENS = 512  # or, where they are sequences, those of the fewest examples with as many: a cache holds their memories


def batch_size(split: Examples) -> int:
    """How many examples of a split are evaluated at a time on one device."""
    one, _ = split.example
    sequences = jnp.issubdtype(one.dtype, jnp.integer)
    return min(BATCH, -(-TOKENS // one.size)) if sequences else BATCH


def evaluate(
    network: Network,
    params: Any,
    state: Any,
    split: Examples,
    layers: Layers = Layers(),
    layout: Layout | None = None,
    task: Task = CLASSIFICATION,
    before_batch: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Mean loss and score over a whole split, in evaluation mode; `before_batch` is called before every batch."""
    losses = []
    scores = []
    count = batch_size(split)
    for inputs, targets in split.all(count + -count % (layout.mesh.size if layout else 1)):
        before_batch()
        found = evaluate_batch(network, params, state, inputs, targets, layers, layout, task)
        batch_losses, batch_scores = jax.device_get(found)
        losses.append(batch_losses)
        scores.append(batch_scores)
    every_loss = np.concatenate(losses)[: len(split)]
    every_score = np.concatenate(scores)[: len(split)]
    return float(every_loss.mean(dtype=np.float64)), float(every_score.mean(dtype=np.float64))


@functools.partial(jax.jit, static_argnames=("network", "layout", "task"))
def evaluate_batch(
    network: Network,
    params: Any,
    state: Any,
    inputs: Shaped[Array, "B ..."],
    targets: Shaped[Array, "B ..."],
    layers: Layers = Layers(),
    layout: Layout | None = None,
    task: Task = CLASSIFICATION,
) -> tuple[Float[Array, " B"], Shaped[Array, " B"]]:
    """Losses and scores of inputs (B H W C for images) with targets (B, or B T of sequences), in evaluation: B, B."""
    if layout:
        inputs, targets = layout.split((inputs, targets))
    outputs, _, _ = network.apply(params, state, inputs, layers, hold=layout.hold if layout else None)
    found = task.loss(outputs, targets), task.score(outputs, targets)
    return layout.gather(found) if layout else found
