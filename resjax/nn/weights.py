"""Layers of weights: dense and convolutional, with a bound on their norm if one is asked for."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from resjax.nn.convolution import convolve
from resjax.nn.spectral_norm import SpectralNorm


class Dense(nn.Module):
    """xW + b, … D -> … features."""

    features: int
    kernel_init: Callable[..., jax.Array]
    bias_init: Callable[..., jax.Array]
    bound: float = 0.0  # on the norm of W (see `resjax.nn.spectral_norm`); 0: none

    @nn.compact
    def __call__(self, x: Shaped[Array, "... D"]) -> Float[Array, "... {self.features}"]:
        """xW + b in the precision of x."""
        _refuse_integers(x)
        shape = x.shape[-1], self.features
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", self.bias_init, shape[1:], jnp.float32)
        if self.bound:
            kernel = SpectralNorm(self.bound)(kernel, lambda kernel, x: x @ kernel, shape[:1])
        return x @ kernel.astype(x.dtype) + bias.astype(x.dtype)


class Conv(nn.Module):
    """Convolution with kernels of size × size and no bias."""

    features: int
    size: int
    stride: int
    kernel_init: Callable[..., jax.Array]
    bound: float = 0.0  # on the norm of the convolution as a map of images (see `resjax.nn.spectral_norm`); 0: none

    @nn.compact
    def __call__(
        self, x: Shaped[Array, "B H W C"]
    ) -> Float[Array, "B (H-1)//{self.stride}+1 (W-1)//{self.stride}+1 {self.features}"]:
        """x (B H W C) convolved: B ⌈H/stride⌉ ⌈W/stride⌉ features, in the precision of x."""
        _refuse_integers(x)
        shape = self.size, self.size, x.shape[-1], self.features  # h w C C′
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        if self.bound:
            linear = lambda kernel, x: convolve(x, kernel, self.stride)  # noqa: E731
            kernel = SpectralNorm(self.bound)(kernel, linear, (1, *x.shape[1:]))
        return convolve(x, kernel.astype(x.dtype), self.stride)


def _refuse_integers(x: Array):
    """In the precision of integers all weights would be 0, and their gradients with them."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(f"inputs are {x.dtype}: make images floating point, and give tokens a stem that embeds them")
