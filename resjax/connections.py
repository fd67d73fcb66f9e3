"""How a branch's output F(x) meets the stream x.

A connection is one small module: `connection(x, f)` gives the next stream. A plain network is a
residual network with another connection, and has the same parameters. `length` is L, the number of
blocks the stream runs through, for the connections whose scale depends on depth.
"""

import flax.linen as nn
import jax.numpy as jnp

from resjax import names


class Connection(nn.Module):
    """Joins stream and branch: `__call__(x, f) -> y`, with x, f and y of one shape (B … D)."""

    length: int = 1  # L, blocks in the whole network


class Plain(Connection):
    """y = F(x): no skip."""

    def __call__(self, x, f):
        return f


class Residual(Connection):
    """y = x + F(x) (He et al. 2015, arXiv 1512.03385, eq. 1)."""

    def __call__(self, x, f):
        return x + f


class Scaled(Connection):
    """y = αx + β L^(−power) F(x): power ½ keeps the variance, 1 gives the ODE limit, as L grows."""

    alpha: float = 1.0
    beta: float = 1.0
    power: float = 0.0

    def __call__(self, x, f):
        return self.alpha * x + self.beta * self.length**-self.power * f


class ReZero(Connection):
    """y = x + αF(x), α learned, one number a block, zero at the start.

    ReZero (Bachlechner et al. 2020, arXiv 2003.04887); SkipInit (De & Smith 2020, arXiv 2002.10444).
    """

    alpha: float = 0.0

    @nn.compact
    def __call__(self, x, f):
        alpha = self.param("alpha", nn.initializers.constant(self.alpha), (), jnp.float32)
        return x + alpha * f


class Projection(Connection):
    """y = Wx + F(x), where sizes differ (He et al. 2015, eq. 2); on images W is a 1×1 convolution."""

    @nn.compact
    def __call__(self, x, f):
        return nn.Dense(f.shape[-1], use_bias=False, name="projection")(x) + f


CONNECTIONS = {
    "plain": Plain,
    "residual": Residual,
    "scaled": Scaled,
    "rezero": ReZero,
    "projection": Projection,
}


def build(text: str, length: int) -> Connection:
    """The connection that `text` names, in a network of `length` blocks."""
    return names.build(text, "connection", CONNECTIONS, length=length)
