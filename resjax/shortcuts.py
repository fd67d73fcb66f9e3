"""How the stream comes to the shape of F(x) where sizes differ, or to F(x) in any case: `shortcut(x, f, train)`."""

import functools

import flax.linen as nn
import jax.numpy as jnp

from resjax import initializers, names
from resjax.parts import ORDERS, Conv, Part


def stride(x, f) -> int:
    """The stride that leads from the image x to the image f; 1 for B D."""
    return 1 if x.ndim == 2 else -(-x.shape[1] // f.shape[1])


class Pad(Part):
    """Every stride-th pixel, and zeros for the new features: no parameters (option A of He et al. 2015).

    The identity where the shape stays.
    """

    def __call__(self, x, f, train: bool):
        step = stride(x, f)
        return _widen(x if x.ndim == 2 else x[:, ::step, ::step], f)


class MaxPool(Part):
    """The maximum over 3×3 pixels with the stride, as in ResNet's stem, and zeros for the new features: images only."""

    def __call__(self, x, f, train: bool):
        return _widen(nn.max_pool(x, (3, 3), (stride(x, f),) * 2, ((1, 1), (1, 1))), f)


def _widen(x, f):
    """x with zeros for the features that f has more."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, f.shape[-1] - x.shape[-1])])


class Projection(Part):
    """Wx, on images a 1×1 convolution with a stride (option B of He et al. 2015).

    Normalised in the orders that normalise F at its end, as in the papers' code.
    """

    weights: str = ""  # the initialiser of W; by default lecun_normal on B D, on images the network's

    @nn.compact
    def __call__(self, x, f, train: bool):
        place = self.place(0)
        if x.ndim == 2:
            weights = initializers.build(self.weights or "lecun_normal", place)
            x = nn.Dense(f.shape[-1], use_bias=False, dtype=x.dtype, kernel_init=weights)(x)
        else:
            x = Conv(f.shape[-1], 1, stride(x, f), self.weights or self.initializer, place)(x)
        return self.normalize(x, train) if "norm" in ORDERS[self.order].end else x


SHORTCUTS = {
    "pad": Pad,
    "projection": Projection,
    "orthogonal": functools.partial(Projection, weights="delta_orthogonal"),  # at the start
    "max_pool": MaxPool,
}


def build(text: str, **choices) -> Part:
    """The shortcut that `text` names."""
    return names.build(text, "shortcut", SHORTCUTS, **choices)
