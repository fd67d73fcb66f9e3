"""Stems take images and tokens to the stream."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from resjax.nn.kinds import Count
from resjax.nn.module import Part
from resjax.nn.space_to_depth import space_to_depth

PLACES = nn.initializers.normal(0.02)  # as of BERT, GPT-2 and ViT


class Stem(Part):
    """`__call__(x, train)`: images B H W C, or tokens B T, to the stream, B … width."""

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


class PatchStem(Stem):
    """B H W C -> B T D: a dense layer of every patch of pixels, and what is learned of its place.

    Dosovitskiy et al. 2020 (arXiv 2010.11929), eq. 1, without the class token: the head takes the mean.
    """

    patch: Count = 4  # its sides, in pixels

    @nn.compact
    def __call__(self, x: Shaped[Array, "B H W C"], train: bool) -> Float[Array, "B T D"]:
        """The stream, B T D, T = H/patch · W/patch.

        Raises:
          ValueError: patches that do not fill the image.
        """
        if x.ndim != 4 or x.shape[1] % self.patch or x.shape[2] % self.patch:
            size = "×".join(map(str, x.shape[1:]))
            raise ValueError(f"patches of {self.patch}×{self.patch} pixels do not fill images of {size}")
        x = space_to_depth(x, self.patch)  # B H/p W/p p²·C
        x = self.dense(x.reshape(len(x), -1, x.shape[-1]), self.width)  # B T D
        return x + self.param("places", PLACES, x.shape[1:], jnp.float32).astype(x.dtype)


class TokenStem(Stem):
    """Tokens B T -> B T D: a learned vector of mean square 1 for each, and if asked for one for its place."""

    vocabulary: Count = 256
    learned_places: bool = False
    dtype: Any = None  # of the stream; None is the weights' own

    @nn.compact
    def __call__(self, x: Shaped[Array, "B ..."], train: bool) -> Float[Array, "B T D"]:
        """The stream, B T D, of integers B T.

        Raises:
          ValueError: inputs that are no tokens.
        """
        if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.integer):
            shape = "×".join(map(str, x.shape[1:]))
            raise ValueError(f"inputs are {x.dtype} {shape}: a network of tokens needs integers, one row an example")
        # rows of length 1, so that a head that shares them starts with logits of the order of 1 (Vaswani et al. 2017,
        # section 3.4, who multiply by √D here, too)
        table = self.param(
            "embedding", nn.initializers.normal(self.width**-0.5), (self.vocabulary, self.width), jnp.float32
        )
        y = self.width**0.5 * table.astype(self.dtype or table.dtype)[x]
        if self.learned_places:
            y = y + self.param("places", PLACES, y.shape[1:], jnp.float32).astype(y.dtype)
        return y
