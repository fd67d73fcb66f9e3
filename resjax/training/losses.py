"""How wrong, and how right, outputs are: a number an example, the mean over its tokens or numbers if it has several."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Shaped

Loss = Callable[[Float[Array, "B ..."], Shaped[Array, "B ..."]], Shaped[Array, " B"]]  # outputs and targets -> B


def loss(outputs: Float[Array, "B ..."], targets: Shaped[Array, "B ..."]) -> Float[Array, " B"]:
    """Cross-entropy where targets are classes or tokens (integers), the mean squared error where they are numbers.

    Args:
      outputs: B K, or B T K of sequences.
      targets: B, or B T, integers from 0 to K − 1; or numbers of the outputs' shape.

    Returns:
      nats, or the targets' unit squared: B.
    """
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return _each(optax.softmax_cross_entropy_with_integer_labels(outputs, targets))
    return _each((outputs - targets) ** 2)


def score(outputs: Float[Array, "B ..."], targets: Shaped[Array, "B ..."]) -> Shaped[Array, " B"]:
    """The share of classes or tokens that are right, B; of numbers 1 − the squared error, which is R² in the mean.

    R², the share of the variance that is explained, of targets of variance 1, as `data.arrays` makes them.
    """
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return _each(outputs.argmax(-1) == targets)
    return 1 - loss(outputs, targets)


@functools.cache
def smoothed(alpha: float) -> Loss:
    """Cross-entropy with labels that are smoothed (Szegedy et al. 2016, arXiv 1512.00567, section 7).

    A label has the probability 1 − alpha, and alpha is spread evenly over all classes. One function for equal alpha.
    """

    def smoothed_loss(outputs, targets):
        classes = jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)  # B … K
        return _each(optax.softmax_cross_entropy(outputs, optax.smooth_labels(classes, alpha)))

    return smoothed_loss


def _each(values: Shaped[Array, "B ..."]) -> Shaped[Array, " B"]:
    """The mean over all but the first axis, if there are others."""
    return values if values.ndim == 1 else values.mean(range(1, values.ndim))
