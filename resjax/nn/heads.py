"""Heads take the stream to logits."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from resjax.nn.kinds import Count
from resjax.nn.module import Part


class Head(Part):
    """B … D -> B K, the logits: what the blocks do before their weights, mean over the image, a dense layer."""

    classes: Count = 10

    role: ClassVar[str] = "head"

    @nn.compact
    def __call__(self, x: Float[Array, "B ... D"], train: bool) -> Float[Array, "B {self.classes}"]:
        """The logits, B K."""
        x = self.pointwise("before", x, train)
        return self.dense(x.mean(range(1, x.ndim - 1)), self.classes)
