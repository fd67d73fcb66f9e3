"""Heads take the stream to outputs: logits of classes or tokens, or numbers."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn.kinds import Count
from resjax.nn.module import Part


class Head(Part):
    """B … D -> B K: what the blocks do before their weights, mean over pixels or tokens, a dense layer.

    Not `pooled`, B … D -> B … K: outputs for every pixel or token.
    """

    classes: Count = 10
    pooled: bool = True

    role: ClassVar[str] = "head"
    tied: ClassVar[bool] = False

    @nn.compact
    def __call__(self, x: Float[Array, "B ... D"], train: bool) -> Float[Array, "B ... {self.classes}"]:
        """The outputs, B K, or B … K."""
        x = self.pointwise("before", x, train)
        return self.dense(x.mean(range(1, x.ndim - 1)) if self.pooled else x, self.classes)


class TiedHead(Head):
    """B T D -> B T K: the products with the stem's vectors of the tokens (Press & Wolf 2017, arXiv 1608.05859).

    The parameter `embedding` (K D) is the stem's: `Network` hands it on, and trains it once.
    """

    pooled: bool = False

    tied: ClassVar[bool] = True

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], train: bool) -> Float[Array, "B T {self.classes}"]:
        """The logits, B T K."""
        x = self.pointwise("before", x, train)
        table = self.param("embedding", nn.initializers.zeros, (self.classes, x.shape[-1]), jnp.float32)
        return x @ table.astype(x.dtype).T
