"""How good a network is on a whole split."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Shaped

from resjax.data import Examples
from resjax.layers import Layers
from resjax.network import Network
from resjax.system.sharding import Layout

BATCH = 512


def evaluate(
    network: Network,
    params: Any,
    state: Any,
    split: Examples,
    layers: Layers = Layers(),
    layout: Layout | None = None,
    before_batch: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Mean loss and accuracy over a whole split, in evaluation mode; `before_batch` is called before every batch."""
    losses = []
    hits = []
    size = BATCH + -BATCH % (layout.mesh.size if layout else 1)
    for inputs, labels in split.all(size):
        before_batch()
        found = evaluate_batch(network, params, state, inputs, labels, layers, layout)
        batch_losses, batch_hits = jax.device_get(found)
        losses.append(batch_losses)
        hits.append(batch_hits)
    every_loss = np.concatenate(losses)[: len(split)]
    every_hit = np.concatenate(hits)[: len(split)]
    return float(every_loss.mean(dtype=np.float64)), float(every_hit.mean())


@functools.partial(jax.jit, static_argnames=("network", "layout"))
def evaluate_batch(
    network: Network,
    params: Any,
    state: Any,
    inputs: Shaped[Array, "B ..."],
    labels: Int[Array, " B"],
    layers: Layers = Layers(),
    layout: Layout | None = None,
) -> tuple[Float[Array, " B"], Bool[Array, " B"]]:
    """Losses and hits of inputs (B H W C for images) with labels (B), in evaluation: B, B."""
    if layout:
        inputs, labels = layout.split((inputs, labels))
    logits, _, _ = network.apply(params, state, inputs, layers)
    found = optax.softmax_cross_entropy_with_integer_labels(logits, labels), logits.argmax(-1) == labels
    return layout.gather(found) if layout else found
