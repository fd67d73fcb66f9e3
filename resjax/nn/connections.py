"""The connections of one stream that the papers have, from y = F(x) to gates."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn import shortcuts
from resjax.nn.connection import Connection, Factors, Stream
from resjax.nn.kinds import NotNegative, Share
from resjax.nn.place import Place, call


class Plain(Connection):
    """y = F(x): no skip. Where the branch is left out, x remains."""

    skip: ClassVar[bool] = False

    def write(self, x: Stream, f: Stream, c: Any, place: Place) -> Stream:
        """F(x)."""
        return f

    def factors(self, place: Place, params: Any = None) -> Factors:
        """0 and 1."""
        return 0.0, 1.0


class Residual(Connection):
    """y = x + F(x) (He et al. 2015, arXiv 1512.03385, eq. 1)."""

    def write(self, x: Stream, f: Stream, c: Any, place: Place) -> Stream:
        """x + F(x)."""
        return x + f

    def factors(self, place: Place, params: Any = None) -> Factors:
        """1 and 1."""
        return 1.0, 1.0


class Projected(Connection):
    """Another connection of Wx instead of x: by default y = Wx + F(x) in every block (He et al. 2015, eq. 2, option C).

    On images W is a 1×1 convolution; `shortcut` may be any other that keeps the shape.
    """

    inner: Connection = Residual()
    shortcut: nn.Module = shortcuts.Projection()

    def __post_init__(self):
        super().__post_init__()
        if self.inner.widens:
            raise ValueError(f"connection {type(self.inner).__name__}: a projection of the skip goes with one stream")

    def coefficients(self, x: Stream, place: Place, train: bool) -> tuple[Stream, Any]:
        """Wx, and the inner connection's coefficients."""
        x = call(self.shortcut, x, train, place)
        return x, self.inner.coefficients(x, place, train)

    def write(self, x: Stream, f: Stream, c: tuple[Stream, Any], place: Place) -> Stream:
        """The inner connection's, of Wx."""
        return self.inner.write(c[0], f, c[1], place)

    def carry(self, x: Stream, c: tuple[Stream, Any], place: Place) -> Stream:
        """The inner connection's, of Wx."""
        return self.inner.carry(*c, place)


class Scaled(Connection):
    """y = α L^growth x + β L^(−power) F(x): power ½ keeps the variance, 1 gives the ODE limit, as L grows.

    With a norm behind the sum, growth ¼ is DeepNorm's (Wang et al. 2022, arXiv 2203.00555), 1 is Keel's.
    """

    alpha: float = 1.0
    beta: float = 1.0
    power: float = 0.0
    growth: float = 0.0

    def write(self, x: Stream, f: Stream, c: Any, place: Place) -> Stream:
        """α L^growth x + β L^(−power) F(x)."""
        direct, branch = self.factors(place)
        return direct * x + branch * f

    def carry(self, x: Stream, c: Any, place: Place) -> Stream:
        """α L^growth x."""
        return self.factors(place)[0] * x

    def factors(self, place: Place, params: Any = None) -> tuple[float, float]:
        """α L^growth and β L^(−power)."""
        return self.alpha * place.length**self.growth, self.beta * place.length**-self.power


class ReZero(Connection):
    """y = x + αF(x), α learned, one number a block, zero at the start.

    ReZero (Bachlechner et al. 2020, arXiv 2003.04887); SkipInit (De & Smith 2020, arXiv 2002.10444).
    """

    alpha: float = 0.0

    @nn.compact
    def coefficients(self, x: Stream, place: Place, train: bool) -> Float[Array, ""]:
        """α."""
        return self.param("alpha", nn.initializers.constant(self.alpha), (), jnp.float32)

    def write(self, x: Stream, f: Stream, c: Float[Array, ""], place: Place) -> Stream:
        """x + αF(x)."""
        return x + c.astype(f.dtype) * f

    def factors(self, place: Place, params: Any = None) -> Factors:
        """1 and α."""
        return 1.0, self.alpha if params is None else params["alpha"]


class LayerScale(Connection):
    """y = x + λ ⊙ F(x), λ learned, a number a feature (Touvron et al. 2021, arXiv 2103.17239, section 2).

    λ starts at `start`; where that is 0, as reported of the paper, at 0.1 in up to 18 transformer blocks, at 1e-5 in up
    to 24, and deeper at 1e-6.
    """

    start: NotNegative = 0.0

    @nn.compact
    def coefficients(self, x: Stream, place: Place, train: bool) -> Float[Array, " D"]:
        """λ."""
        return self.param("scale", nn.initializers.constant(self.first(place)), x.shape[-1:], jnp.float32)

    def write(self, x: Stream, f: Stream, c: Float[Array, " D"], place: Place) -> Stream:
        """x + λ ⊙ F(x)."""
        return x + c.astype(f.dtype) * f

    def factors(self, place: Place, params: Any = None) -> Factors:
        """1 and λ at the start; None for parameters, of which each feature has its own."""
        return (1.0, self.first(place)) if params is None else None

    def first(self, place: Place) -> float:
        """λ at the start."""
        return self.start or (0.1 if place.turns <= 18 else 1e-5 if place.turns <= 24 else 1e-6)


class ShortcutGate(Connection):
    """y = (1 − g)x + F(x), g = σ(Wx + b) (He et al. 2016, arXiv 1603.05027, table 1, shortcut-only gating).

    W is zero at the start, so that g is σ(b) there, whatever the stream.
    """

    bias: float = -6.0  # of the gate, at the start

    @nn.compact
    def coefficients(self, x: Stream, place: Place, train: bool) -> Stream:
        """g, in the shape of x; W is a 1×1 convolution on images, which is this dense layer."""
        gate = nn.Dense(
            x.shape[-1],
            # the paper says how b starts, not W: with random weights Wx grows with the stream, and b decides nothing
            kernel_init=nn.initializers.zeros,
            bias_init=nn.initializers.constant(self.bias),
            dtype=x.dtype,
            name="gate",
        )
        return nn.sigmoid(gate(x))

    def write(self, x: Stream, f: Stream, c: Stream, place: Place) -> Stream:
        """(1 − g)x + F(x)."""
        return (1 - c) * x + f

    def carry(self, x: Stream, c: Stream, place: Place) -> Stream:
        """(1 − g)x."""
        return (1 - c) * x


class ExclusiveGate(ShortcutGate):
    """y = (1 − g)x + gF(x), g = σ(Wx + b) (He et al. 2016, table 1, exclusive gating)."""

    def write(self, x: Stream, f: Stream, c: Stream, place: Place) -> Stream:
        """(1 − g)x + gF(x)."""
        return (1 - c) * x + c * f


class Dropout(Connection):
    """y = dropout(x) + F(x) (He et al. 2016, table 1, dropout shortcut)."""

    rate: Share = 0.5

    @nn.compact
    def coefficients(self, x: Stream, place: Place, train: bool) -> Stream:
        """dropout(x)."""
        return nn.Dropout(self.rate, deterministic=not train)(x)

    def write(self, x: Stream, f: Stream, c: Stream, place: Place) -> Stream:
        """dropout(x) + F(x)."""
        return c + f

    def carry(self, x: Stream, c: Stream, place: Place) -> Stream:
        """dropout(x)."""
        return c
