"""Values over depth: every attention mixes its own values with those of the first."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn.attention import Attention, missing
from resjax.nn.connection import Connection, Stream
from resjax.nn.place import Place


class ValueResidual(Connection):
    """x + F(x), and V ← ½(V + V₁) in every attention (Zhou et al. 2024, arXiv 2410.17897).

    B T 2 D: the stream, and beside it V₁, the values of the first attention that is not left out; each gets both.
    """

    attends: bool = False  # whether the branch is an attention, as `beside` finds out

    def beside(self, branch: nn.Module) -> Connection:
        """This connection, for a branch of this kind."""
        return self.clone(attends=isinstance(branch, Attention))

    def widen(self, x: Stream, place: Place) -> Float[Array, "B T 2 D"]:
        """x, and room for the values."""
        return jnp.stack([x, jnp.zeros_like(x)], -2)

    def narrow(self, x: Float[Array, "B T 2 D"], place: Place) -> Stream:
        """x."""
        return x[..., 0, :]

    def read(self, x: Float[Array, "B T 2 D"], c: None, place: Place) -> Stream | Float[Array, "B T 2 D"]:
        """x; of an attention both."""
        return x if self.attends else x[..., 0, :]

    def added(self, f: Stream | Float[Array, "B T 2 D"]) -> Stream:
        """F(x), without the values."""
        return f[..., 0, :] if self.attends else f

    def scaled(self, f: Stream, scale: Float[Array, ""]) -> Stream:
        """F(x) times a number; the values stay what they are."""
        return f * jnp.stack([scale, jnp.ones_like(scale)])[:, None] if self.attends else f * scale

    def write(self, x: Float[Array, "B T 2 D"], f: Stream, c: None, place: Place) -> Float[Array, "B T 2 D"]:
        """x + F(x), and the first attention's values."""
        first = x[..., 1, :]
        if self.attends:
            first = jnp.where(missing(first), f[..., 1, :], first)
        return jnp.stack([x[..., 0, :] + self.added(f), first], -2)

    def shown(self, x: Float[Array, "B T 2 D"], place: Place) -> Stream:
        """x."""
        return x[..., 0, :]
