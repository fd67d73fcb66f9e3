"""Normalisation layers by name, all called the same way: `norm(x, train)`.

They return the precision of x; statistics are taken in float32 at least.
"""

import flax.linen as nn
import jax.numpy as jnp

from resjax import names


class NoNorm(nn.Module):
    """The identity, so that `none` is a normalisation like the others."""

    def __call__(self, x, train: bool):
        return x


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe & Szegedy 2015).

    The running statistics live in the collection `batch_stats`.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x, train: bool):
        return nn.BatchNorm(not train, momentum=self.momentum, epsilon=self.epsilon, dtype=x.dtype, name="norm")(x)


class Center(nn.Module):
    """The first half of batch normalisation: every unit's mean over the batch is taken away, nothing is scaled."""

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x, train: bool):
        running = self.variable("batch_stats", "mean", jnp.zeros, x.shape[-1:], jnp.float32)
        if not train:
            return x - running.value.astype(x.dtype)
        mean = x.astype(jnp.promote_types(x.dtype, jnp.float32)).mean(range(x.ndim - 1))
        if not self.is_initializing():
            running.value = self.momentum * running.value + (1 - self.momentum) * mean
        return x - mean.astype(x.dtype)


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis (Ba et al. 2016)."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x, train: bool):
        return nn.LayerNorm(epsilon=self.epsilon, dtype=x.dtype, name="norm")(x)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis (Zhang & Sennrich 2019)."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x, train: bool):
        return nn.RMSNorm(epsilon=self.epsilon, dtype=x.dtype, name="norm")(x)


NORMS = {"none": NoNorm, "batch": BatchNorm, "center": Center, "layer": LayerNorm, "rms": RMSNorm}


def build(text: str) -> nn.Module:
    """The normalisation that `text` names."""
    return names.build(text, "norm", NORMS)


def of_last_batch(text: str) -> str:
    """The norm that `text` names, with running statistics that are those of the last batch alone."""
    name, arguments = names.parse(text, "norm")
    if name not in ("batch", "center"):  # the others have none
        return text
    return f"{name}({','.join(f'{key}={value!r}' for key, value in (arguments | {'momentum': 0.0}).items())})"
