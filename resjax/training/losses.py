"""What training makes small: losses of logits and labels, one for each example."""

import functools
from collections.abc import Callable

import jax
import optax
from jaxtyping import Array, Float, Int

Loss = Callable[[Float[Array, "B K"], Int[Array, " B"]], Float[Array, " B"]]

cross_entropy: Loss = optax.softmax_cross_entropy_with_integer_labels


@functools.cache
def smoothed(alpha: float) -> Loss:
    """Cross-entropy with labels that are smoothed (Szegedy et al. 2016, arXiv 1512.00567, section 7).

    A label has the probability 1 − alpha, and alpha is spread evenly over all classes. One function for equal alpha.
    """

    def loss(logits, labels):
        targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)  # B K
        return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, alpha))

    return loss
