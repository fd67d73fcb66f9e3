"""How much of what there is to learn a network has learned: a share, from its loss and that of the best constant."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from resjax.data.batches import Examples
from resjax.data.in_memory import Split

EXAMPLES = 4096  # of which the constant's loss is taken, at most
BATCH = 256


def constant_loss(examples: Examples) -> float:
    """The mean loss of the best answer that is the same for all: the entropy of the classes or tokens, in nats, and the
    variance of numbers. Of all examples in memory, of the first `EXAMPLES` of a stream."""
    if isinstance(examples, Split):
        return _constant_loss(np.asarray(examples.labels))
    count = min(EXAMPLES, len(examples))
    size = min(BATCH, count)
    batches = itertools.islice(examples.all(size), -(-count // size))
    return _constant_loss(np.concatenate([np.asarray(targets) for _, targets in batches])[:count])


def _constant_loss(targets: Shaped[np.ndarray, "N ..."]) -> float:
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        return float(((targets - targets.mean(0)) ** 2).mean())
    shares = np.unique(targets, return_counts=True)[1] / targets.size
    return float(-(shares * np.log(shares)).sum())


def share(loss: float, constant: float) -> float:
    """1 − loss / constant, McFadden's R² of classes and R² of numbers; 0 for what diverged or is worse, and where all
    targets are the same: there is nothing to learn."""
    return max(0.0, 1 - loss / constant) if math.isfinite(loss) and constant else 0.0
