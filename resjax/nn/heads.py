"""Heads take the stream to logits."""

from typing import ClassVar

import flax.linen as nn
import jax

from resjax.nn.module import Part


class Head(Part):
    """B … D -> B K, the logits: what the blocks do before their weights, mean over the image, a dense layer."""

    classes: int = 10

    role: ClassVar[str] = "head"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """The logits, B K."""
        x = self.pointwise("before", x, train)
        return self.dense(x.mean(range(1, x.ndim - 1)), self.classes)
