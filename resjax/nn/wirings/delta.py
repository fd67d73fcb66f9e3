"""A residual connection that overwrites: the branch says in which direction, and what stood there is taken out."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn.connection import Connection, Stream
from resjax.nn.place import Place
from resjax.nn.wirings.streams import EPSILON


class Delta(Connection):
    """y = x + β(v − kᵀx)k, k = F(x)/‖F(x)‖: the delta rule (Zhang et al. 2026, arXiv 2601.00417).

    β = 2σ(wx + b) and v, a linear map of x, are numbers a token. With β = 0 the block is the identity, with 1 what
    stood along k is replaced by v, with 2 and v = 0 it is reflected: ‖y‖ = ‖x‖. w = b = 0 at the start: β is 1.
    """

    scales: ClassVar[bool] = False

    @nn.compact
    def coefficients(
        self, x: Stream, place: Place, train: bool
    ) -> tuple[Float[Array, "B ... 1"], Float[Array, "B ... 1"]]:
        """β and v: 2D + 1 numbers are learned."""
        amount = nn.Dense(1, kernel_init=nn.initializers.zeros, dtype=x.dtype, name="amount")(x)
        value = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.lecun_normal(), dtype=x.dtype, name="value")(x)
        return 2 * nn.sigmoid(amount), value

    def scaled(self, f: Stream, scale: Float[Array, ""]) -> Stream:
        """Raises ValueError: F(x) times a number adds the same, for its direction alone counts."""
        raise ValueError("connection Delta: adds the same however F(x) is scaled")

    def write(self, x: Stream, f: Stream, c: tuple, place: Place) -> Stream:
        """x + β(v − kᵀx)k."""
        amount, value = c
        direction = f / jnp.sqrt((f**2).sum(-1, keepdims=True) + EPSILON)
        return x + amount * (value - (direction * x).sum(-1, keepdims=True)) * direction
