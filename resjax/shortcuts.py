"""How the stream comes to the shape of F(x) where sizes differ: `shortcut(x, f, train)`."""

import flax.linen as nn
import jax.numpy as jnp

from resjax import names
from resjax.parts import ORDERS, Part


def stride(x, f) -> int:
    """The stride that leads from the image x to the image f; 1 for B D."""
    return 1 if x.ndim == 2 else -(-x.shape[1] // f.shape[1])


class Pad(Part):
    """Every stride-th pixel, and zeros for the new features: no parameters (option A of He et al. 2015)."""

    def __call__(self, x, f, train: bool):
        step, more = stride(x, f), f.shape[-1] - x.shape[-1]
        x = x if x.ndim == 2 else x[:, ::step, ::step]
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, more)])


class Projection(Part):
    """Wx, on images a 1×1 convolution with a stride (option B of He et al. 2015).

    Normalised in the orders that normalise F at its end, as in the papers' code.
    """

    @nn.compact
    def __call__(self, x, f, train: bool):
        if x.ndim == 2:
            x = nn.Dense(f.shape[-1], use_bias=False, dtype=x.dtype)(x)
        else:
            x = self.conv(x, f.shape[-1], size=1, stride=stride(x, f))
        return self.normalize(x, train) if "norm" in ORDERS[self.order].end else x


SHORTCUTS = {"pad": Pad, "projection": Projection}


def build(text: str, **choices) -> Part:
    """The shortcut that `text` names."""
    return names.build(text, "shortcut", SHORTCUTS, **choices)
