"""The two ends of a network: stems take images to the stream, the head takes the stream to logits."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from resjax.parts import Part, pointwise


class DenseStem(Part):
    """B H W C -> B D: one dense layer."""

    width: int = 64

    role: ClassVar[str] = "stem"
    layers: ClassVar[int] = 1
    stride: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x, train: bool):
        x = self.dense(x.reshape(x.shape[0], -1), self.width)  # B D
        return pointwise(self, "stem", x, train)


class ConvStem(Part):
    """B H W C -> B H W D: a 3×3 convolution (He et al. 2015, section 4.2)."""

    width: int = 16

    role: ClassVar[str] = "stem"
    layers: ClassVar[int] = 1
    stride: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x, train: bool):
        return pointwise(self, "stem", self.conv(x, self.width), train)


class ImageNetStem(Part):
    """B H W C -> B H/4 W/4 D: a 7×7 convolution and a 3×3 maximum, both of stride 2 (He et al. 2015, table 1)."""

    width: int = 64

    role: ClassVar[str] = "stem"
    layers: ClassVar[int] = 1
    stride: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x, train: bool):
        x = pointwise(self, "stem", self.conv(x, self.width, size=7, stride=2), train)
        return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


class PaddingStem(Part):
    """B H W C -> B H W D: zeros for the new features, so that nothing is lost (Behrmann et al. 2019, section 5.1)."""

    width: int = 16

    role: ClassVar[str] = "stem"
    layers: ClassVar[int] = 0
    stride: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x, train: bool):
        return jnp.pad(x, [(0, 0)] * 3 + [(0, self.width - x.shape[-1])])


class Head(Part):
    """B … D -> B K, the logits: what the blocks do before their weights, mean over the image, a dense layer."""

    classes: int = 10

    role: ClassVar[str] = "head"

    @nn.compact
    def __call__(self, x, train: bool):
        x = pointwise(self, "before", x, train)
        return self.dense(x.mean(range(1, x.ndim - 1)), self.classes)
