"""How the stream comes to another shape, to that of F(x): `shortcut(x, train)`."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn import initializers, weights
from resjax.nn.kinds import Count, Size
from resjax.nn.module import Part
from resjax.nn.place import Place


class Shortcut(Part):
    """B H W C -> B ⌈H/stride⌉ ⌈W/stride⌉ features, or B D -> B features."""

    features: Size = 0  # 0 for those of x
    stride: Count = 1  # of the image


class Pad(Shortcut):
    """Every stride-th pixel, and zeros for the new features: no parameters (option A of He et al. 2015).

    The identity where the shape stays.
    """

    def __call__(self, x: Float[Array, "B ... C"], train: bool, place: Place | None = None) -> Float[Array, "B ... D"]:
        """x in the new shape."""
        return _widen(x if x.ndim == 2 else x[:, :: self.stride, :: self.stride], self.features)


class MaxPool(Shortcut):
    """The maximum over 3×3 pixels with the stride, as in ResNet's stem, and zeros for the new features: images only."""

    def __call__(self, x: Float[Array, "B ... C"], train: bool, place: Place | None = None) -> Float[Array, "B ... D"]:
        """x in the new shape."""
        return _widen(nn.max_pool(x, (3, 3), (self.stride,) * 2, ((1, 1), (1, 1))), self.features)


class AvgPool(Shortcut):
    """The mean of each stride × stride pixels, and zeros for the new features (Huang et al. 2016, their code).

    At an edge that the squares overlap it is the mean of the pixels that are there. The identity where the shape stays.
    """

    def __call__(self, x: Float[Array, "B ... C"], train: bool, place: Place | None = None) -> Float[Array, "B ... D"]:
        """x in the new shape."""
        if x.ndim == 4:
            square = (self.stride, self.stride)
            overlap = [(0, -size % self.stride) for size in x.shape[1:3]]
            x = nn.avg_pool(x, square, square, overlap, count_include_pad=False)
        return _widen(x, self.features)


def _widen(x, features: int):
    """x with zeros for the features that are new."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, (features or x.shape[-1]) - x.shape[-1])])


class Projection(Shortcut):
    """Wx, on images a 1×1 convolution with a stride (option B of He et al. 2015).

    Normalised in the orders that normalise F at its end, as in the papers' code.
    """

    kernel: initializers.Initializer = None  # of W; by default lecun_normal on B D, on images the network's

    @nn.compact
    def __call__(self, x: Float[Array, "B ... C"], train: bool, place: Place | None = None) -> Float[Array, "B ... D"]:
        """Wx."""
        features = self.features or x.shape[-1]
        site = self.site(0, place)
        if x.ndim == 2:
            kernel_init = initializers.at(self.kernel or initializers.lecun_normal(), site)
            x = nn.Dense(features, use_bias=False, dtype=x.dtype, kernel_init=kernel_init)(x)
        else:
            kernel_init = initializers.at(self.kernel or self.initializer, site)
            x = weights.Conv(features, 1, self.stride, kernel_init)(x)
        return self.normalize(x, train, place) if "norm" in self.order.end else x


def orthogonal() -> Projection:
    """A projection that is orthogonal at the start."""
    return Projection(kernel=initializers.delta_orthogonal())
