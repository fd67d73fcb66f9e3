"""Normalisation layers, all called the same way: `norm(x, train)`.

They return the precision of x; statistics are taken in float32 at least. γ starts at `scale`; with `zero_last` that of
the norm with which a branch ends starts at 0, so that every block starts as its shortcut (Goyal et al. 2017, arXiv
1706.02677, section 5.1). Any other Linen module (x, train) -> x is a
norm as well, and one that takes `place`, too, is told which block it is in (see `resjax.nn.place`).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn.arguments import Checked
from resjax.nn.kinds import Count, NotNegative, Share


class NoNorm(nn.Module):
    """The identity, so that no norm is a norm like the others."""

    def __call__(self, x: Float[Array, "... D"], train: bool) -> Float[Array, "... D"]:
        """x."""
        return x


class BatchNorm(Checked, nn.Module):
    """Batch normalisation over all axes but the last (Ioffe & Szegedy 2015, arXiv 1502.03167).

    The running statistics live in the collection `batch_stats`.
    """

    momentum: Share = 0.9
    epsilon: NotNegative = 1e-5
    scale: NotNegative = 1.0
    zero_last: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "... D"], train: bool) -> Float[Array, "... D"]:
        """x (… D), normalised with the statistics of the batch in training, else with the running ones."""
        if train:
            _refuse_one(x)
        # in two passes: E[x²] − E[x]² loses a variance that is small beside the mean's square
        norm = nn.BatchNorm(
            not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=x.dtype,
            use_fast_variance=False,
            scale_init=nn.initializers.constant(self.scale),
            name="norm",
        )
        return norm(x)


class Center(Checked, nn.Module):
    """The first half of batch normalisation: every unit's mean over the batch is taken away, nothing is scaled."""

    momentum: Share = 0.9

    @nn.compact
    def __call__(self, x: Float[Array, "... D"], train: bool) -> Float[Array, "... D"]:
        """x (… D) without the batch's mean in training, else without the running one."""
        running = self.variable("batch_stats", "mean", jnp.zeros, x.shape[-1:], jnp.float32)
        if not train:
            return x - running.value.astype(x.dtype)
        _refuse_one(x)
        mean = x.astype(jnp.promote_types(x.dtype, jnp.float32)).mean(range(x.ndim - 1))
        if not self.is_initializing():
            running.value = self.momentum * running.value + (1 - self.momentum) * mean
        return x - mean.astype(x.dtype)


class LayerNorm(Checked, nn.Module):
    """Layer normalisation over the last axis (Ba et al. 2016, arXiv 1607.06450)."""

    epsilon: NotNegative = 1e-5
    scale: NotNegative = 1.0
    zero_last: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "... D"], train: bool) -> Float[Array, "... D"]:
        """x (… D), every vector with mean 0 and variance 1, then scaled and shifted."""
        start = nn.initializers.constant(self.scale)
        norm = nn.LayerNorm(self.epsilon, dtype=x.dtype, use_fast_variance=False, scale_init=start, name="norm")
        return norm(x)


class GroupNorm(Checked, nn.Module):
    """Group normalisation of each example, over all its pixels and the features of a group (Wu & He 2018, arXiv
    1803.08494).

    Neighbouring features are a group; the paper has 32 groups.
    """

    groups: Count = 8
    epsilon: NotNegative = 1e-5
    scale: NotNegative = 1.0
    zero_last: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B ... D"], train: bool) -> Float[Array, "B ... D"]:
        """x (B … D), every group of every example with mean 0 and variance 1, then scaled and shifted.

        Raises:
          ValueError: a number of groups that does not divide the features.
        """
        start = nn.initializers.constant(self.scale)
        norm = nn.GroupNorm(
            self.groups, epsilon=self.epsilon, dtype=x.dtype, use_fast_variance=False, scale_init=start, name="norm"
        )
        return norm(x)


class RMSNorm(Checked, nn.Module):
    """Root-mean-square normalisation over the last axis (Zhang & Sennrich 2019, arXiv 1910.07467)."""

    epsilon: NotNegative = 1e-5
    scale: NotNegative = 1.0
    zero_last: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "... D"], train: bool) -> Float[Array, "... D"]:
        """x (… D), every vector with mean square 1, then scaled."""
        start = nn.initializers.constant(self.scale)
        return nn.RMSNorm(epsilon=self.epsilon, dtype=x.dtype, scale_init=start, name="norm")(x)


def _refuse_one(x: Array):
    """Of a single vector the mean is the vector itself: what is left of it is the same whatever it was."""
    if x.size == x.shape[-1]:
        raise ValueError("a batch of one vector has no statistics: train with larger batches, or with another norm")


def of_last_batch(norm: nn.Module) -> nn.Module:
    """The norm with running statistics that are those of the last batch alone; one without any as it is."""
    return norm.clone(momentum=0.0) if isinstance(norm, BatchNorm | Center) else norm
