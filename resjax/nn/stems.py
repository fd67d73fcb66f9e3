"""Stems take images to the stream."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from resjax.nn.kinds import Count
from resjax.nn.module import Part


class Stem(Part):
    """`__call__(x, train)`: images B H W C to the stream, B … width."""

    width: Count = 64

    role: ClassVar[str] = "stem"
    layers: ClassVar[int] = 1
    stride: ClassVar[int] = 1


class DenseStem(Stem):
    """B … -> B D: one dense layer."""

    @nn.compact
    def __call__(self, x: Shaped[Array, "B ..."], train: bool) -> Float[Array, "B D"]:
        """The stream, B D."""
        x = self.dense(x.reshape(x.shape[0], -1), self.width)  # B D
        return self.pointwise("stem", x, train)


class ConvStem(Stem):
    """B H W C -> B H W D: a 3×3 convolution (He et al. 2015, section 4.2)."""

    width: Count = 16

    @nn.compact
    def __call__(self, x: Shaped[Array, "B H W C"], train: bool) -> Float[Array, "B H W D"]:
        """The stream, B H W D."""
        return self.pointwise("stem", self.conv(x, self.width), train)


class ImageNetStem(Stem):
    """B H W C -> B H/4 W/4 D: a 7×7 convolution and a 3×3 maximum, both of stride 2 (He et al. 2015, table 1)."""

    stride: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Shaped[Array, "B H W C"], train: bool) -> Float[Array, "B (H-1)//4+1 (W-1)//4+1 D"]:
        """The stream, B H/4 W/4 D."""
        x = self.pointwise("stem", self.conv(x, self.width, size=7, stride=2), train)
        return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


class PaddingStem(Stem):
    """B H W C -> B H W D: zeros for the new features, so that nothing is lost (Behrmann et al. 2019, section 5.1)."""

    width: Count = 16

    layers: ClassVar[int] = 0

    @nn.compact
    def __call__(self, x: Shaped[Array, "B H W C"], train: bool) -> Shaped[Array, "B H W {self.width}"]:
        """The stream, B H W D."""
        return jnp.pad(x, [(0, 0)] * 3 + [(0, self.width - x.shape[-1])])
