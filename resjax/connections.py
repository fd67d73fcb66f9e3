"""How a branch's output F(x) meets the stream x.

A connection is one small module: `connection(x, f, train)` gives the next stream. A plain network is
a residual network with another connection, and has the same parameters. Where a block changes the
shape, `match` brings x to that of F(x) first.
"""

import flax.linen as nn
import jax.numpy as jnp

from resjax import names, shortcuts
from resjax.parts import Part


class Connection(Part):
    """Joins stream and branch: `__call__(x, f, train) -> y`, with f and y of one shape (B … D)."""

    length: int = 1  # L, blocks in the whole network, for scales that depend on depth
    shortcut: str = "pad"  # a name of `resjax.shortcuts`, for the blocks where x has another shape
    always: bool = False  # the shortcut also where x has the shape of F(x)

    def setup(self):
        self.joint = shortcuts.build(self.shortcut, **self.choices)

    def match(self, x, f, train: bool):
        """x in the shape of f: x itself if it has it and that will do, else through the shortcut."""
        return x if x.shape == f.shape and not self.always else self.joint(x, f, train)


class Plain(Connection):
    """y = F(x): no skip."""

    def setup(self):
        self.joint = shortcuts.Pad(**self.choices)  # what is left of a deleted block: nothing that has weights

    def __call__(self, x, f, train: bool):
        return f


class Residual(Connection):
    """y = x + F(x) (He et al. 2015, arXiv 1512.03385, eq. 1)."""

    def __call__(self, x, f, train: bool):
        return self.match(x, f, train) + f


class Projection(Residual):
    """y = Wx + F(x) in every block (He et al. 2015, eq. 2, option C); on images W is a 1×1 convolution."""

    shortcut: str = "projection"
    always: bool = True

    def setup(self):
        self.joint = shortcuts.Projection(**self.choices)  # whatever joins the blocks of other connections


class Scaled(Connection):
    """y = αx + β L^(−power) F(x): power ½ keeps the variance, 1 gives the ODE limit, as L grows."""

    alpha: float = 1.0
    beta: float = 1.0
    power: float = 0.0

    def __call__(self, x, f, train: bool):
        return self.alpha * self.match(x, f, train) + self.beta * self.length**-self.power * f


class ReZero(Connection):
    """y = x + αF(x), α learned, one number a block, zero at the start.

    ReZero (Bachlechner et al. 2020, arXiv 2003.04887); SkipInit (De & Smith 2020, arXiv 2002.10444).
    """

    alpha: float = 0.0

    @nn.compact
    def __call__(self, x, f, train: bool):
        alpha = self.param("alpha", nn.initializers.constant(self.alpha), (), jnp.float32)
        return self.match(x, f, train) + alpha.astype(f.dtype) * f


class ShortcutGate(Connection):
    """y = (1 − g)x + F(x), g = σ(Wx + b) (He et al. 2016, arXiv 1603.05027, table 1, shortcut-only gating)."""

    bias: float = -6.0  # of the gate, at the start

    @nn.compact
    def __call__(self, x, f, train: bool):
        x = self.match(x, f, train)
        return (1 - self.gate(x)) * x + f

    def gate(self, x):
        """g, in the shape of x; W is a 1×1 convolution on images, which is this dense layer."""
        bias = nn.initializers.constant(self.bias)
        return nn.sigmoid(nn.Dense(x.shape[-1], bias_init=bias, dtype=x.dtype, name="gate")(x))


class ExclusiveGate(ShortcutGate):
    """y = (1 − g)x + gF(x), g = σ(Wx + b) (He et al. 2016, table 1, exclusive gating)."""

    @nn.compact
    def __call__(self, x, f, train: bool):
        x = self.match(x, f, train)
        gate = self.gate(x)
        return (1 - gate) * x + gate * f


class Dropout(Connection):
    """y = dropout(x) + F(x) (He et al. 2016, table 1, dropout shortcut)."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, x, f, train: bool):
        return nn.Dropout(self.rate, deterministic=not train)(self.match(x, f, train)) + f


CONNECTIONS = {
    "plain": Plain,
    "residual": Residual,
    "projection": Projection,
    "scaled": Scaled,
    "rezero": ReZero,
    "shortcut_gate": ShortcutGate,
    "exclusive_gate": ExclusiveGate,
    "dropout": Dropout,
}


def build(text: str, **choices) -> Connection:
    """The connection that `text` names; `choices` are the fields of `Connection` that are not in the text."""
    return names.build(text, "connection", CONNECTIONS, **choices)
