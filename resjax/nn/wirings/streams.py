"""What connections with n streams share: all start as copies of x, and the head gets their mean."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from resjax.nn.connection import Connection, Stream
from resjax.nn.kinds import Count
from resjax.nn.place import Place

EPSILON = 1e-6  # of what is divided by


class Mixing(NamedTuple):
    """How a block reads, mixes and writes n streams: one for all tokens, or each has its own."""

    read: Float[Array, "... n"]  # z = Σ read_s X_s
    mix: Float[Array, "... n n"]  # X′_s = Σ mix_st X_t + write_s F(z)
    write: Float[Array, "... n"]


class Streams(Connection):
    """n streams, B … n D. The coefficients of a subclass are a `Mixing`, or it has its own read, write and carry.

    The papers give the head the streams' sum. Their mean differs by a factor that the norm before the head takes out;
    without one the mean is the residual network's stream, and n streams are not n times as large.
    """

    n: Count = 4

    def widen(self, x: Stream, place: Place) -> Float[Array, "B ... n D"]:
        """n copies of x."""
        return jnp.repeat(x[..., None, :], self.n, axis=-2)

    def narrow(self, x: Float[Array, "B ... n D"], place: Place) -> Stream:
        """Their mean."""
        return x.mean(-2)

    def read(self, x: Float[Array, "B ... n D"], c: Any, place: Place) -> Stream:
        """Σ read_s X_s."""
        return jnp.einsum("...n,...nd->...d", spread(c.read, x.shape[:-2]), x)

    def write(self, x: Float[Array, "B ... n D"], f: Stream, c: Any, place: Place) -> Float[Array, "B ... n D"]:
        """What the mixing carries, and F(z) on top of it, write_s times in stream s."""
        return self.carry(x, c, place) + c.write[..., None] * f[..., None, :]

    def carry(self, x: Float[Array, "B ... n D"], c: Any, place: Place) -> Float[Array, "B ... n D"]:
        """Σ mix_st X_t."""
        return jnp.einsum("...st,...td->...sd", c.mix, x)


def spread(numbers: Float[Array, "... n"], pixels: tuple[int, ...]) -> Float[Array, "... n"]:
    """Numbers of each pixel, for as many pixels: where a stage opens, those behind the stride serve all before it."""
    for axis, (count, wanted) in enumerate(zip(numbers.shape[:-1], pixels, strict=False)):
        if count != wanted:
            numbers = jnp.repeat(numbers, -(-wanted // count), axis).take(jnp.arange(wanted), axis)
    return numbers


def home(place: Place, n: int) -> Float[Array, " n"]:
    """1 for the stream whose turn it is in this block, which is (l − 1) mod n in block l; 0 for the others."""
    turn: Int[Array, ""] = (jnp.asarray(place.block) - 1) % n
    return (jnp.arange(n) == turn).astype(jnp.float32)


def rms(x: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """x over the root of its mean square, in float32 at the least."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + EPSILON)
