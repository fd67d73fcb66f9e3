"""A block: a branch and a connection."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from resjax.nn.connection import Connection
from resjax.nn.module import Pointwise
from resjax.nn.place import Place, call, refuse_other
from resjax.nn.shortcuts import Pad

Fork = Callable[[jax.Array], tuple[jax.Array, jax.Array]]  # x -> what the branch gets, what the connection gets


def same(x: Float[Array, "B ... D"]) -> tuple[Float[Array, "B ... D"], Float[Array, "B ... D"]]:
    """The fork that does nothing."""
    return x, x


class Block(nn.Module):
    """y = after(connection(x, scale · F(x)))."""

    branch: nn.Module  # F: (x, train) -> f
    connection: Connection
    after: nn.Module = Pointwise()  # (x, train) -> y, what stands behind the addition; here nothing
    dtype: Any = None  # what F computes in, where the stream is kept in another precision; None: the stream's

    def __call__(
        self,
        x: Float[Array, "B ... D"],
        place: Place,
        scale: Float[ArrayLike, ""] | None = None,
        *,
        train: bool,
        fork: Fork = same,
        keep: bool = True,
    ) -> tuple[Float[Array, "B ... _D"], Float[Array, "B ... _D"] | None]:
        """The next stream, and scale · F(x).

        Args:
          x: the stream, B … D, or B … n D for a connection with n streams.
          place: where the block stands.
          scale: a factor on F(x); None for 1.
          train: whether norms take the statistics of the batch.
          fork: what happens where the stream parts, to the branch and past it.
          keep: False leaves the branch out, and does not compute it: what is left is what the connection carries.
        """
        inward, onward = self.part(x, place, train, fork)
        c = self.connection.coefficients(onward, place, train)
        if not keep:
            return call(self.after, self.connection.carry(onward, c, place), train, place), None
        z = self.connection.read(inward, c, place)
        z = z if self.dtype is None else z.astype(self.dtype)
        f = call(self.branch, z, train, place)
        self.check(self.branch, z, onward, f)
        f = f if self.dtype is None else f.astype(onward.dtype)
        f = f if scale is None else self.connection.scaled(f, jnp.asarray(scale, f.dtype))
        written = self.connection.write(onward, f, c, place)
        refuse_other(self.connection, onward, written)
        return call(self.after, written, train, place), self.connection.added(f)

    def part(
        self, x: Float[Array, "B ... D"], place: Place, train: bool, fork: Fork
    ) -> tuple[Float[Array, "B ... D"], Float[Array, "B ... D"]]:
        """What the branch gets of the stream, and what the connection."""
        return fork(x)

    def check(self, branch: nn.Module, z: jax.Array, onward: jax.Array, f: jax.Array) -> None:
        """Refuses what the branch made of z where it does not fit the stream: a sum would broadcast it in silence.

        Raises:
          ValueError: it has another shape, or a precision that would change the stream's.
        """
        refuse_other(branch, z, f)


class Transition(Block):
    """A block that opens a stage: before it parts, the stream takes what the two ways share; past the branch it takes
    a shortcut, to the shape of F(x) (He et al. 2015, eq. 2; He et al. 2016, appendix)."""

    shortcut: nn.Module = Pad()  # (x, train) -> x in the shape of F(x)
    before: nn.Module = Pointwise(where="before")  # (x, train) -> x, which the branch then does without

    def part(
        self, x: Float[Array, "B ... D"], place: Place, train: bool, fork: Fork
    ) -> tuple[Float[Array, "B ... D"], Float[Array, "B ... _D"]]:
        """What the branch gets of the stream, and what the connection."""
        inward, onward = fork(call(self.before, x, train, place))
        if not self.connection.widens:
            return inward, call(self.shortcut, onward, train, place)
        streams = jnp.moveaxis(onward, -2, 1)  # B n … D: the shortcut sees each as an example of its own
        led = call(self.shortcut, streams.reshape(-1, *streams.shape[2:]), train, place)
        return inward, jnp.moveaxis(led.reshape(*streams.shape[:2], *led.shape[1:]), 1, -2)

    def check(self, branch: nn.Module, z: jax.Array, onward: jax.Array, f: jax.Array) -> None:
        """Refuses what the branch made where the shortcut leads to another shape."""
        if onward.ndim == f.ndim and onward.shape != f.shape:  # of one stream
            made, there = (" ".join(map(str, each.shape[1:])) for each in (f, onward))
            names = type(branch).__name__, type(self.shortcut).__name__
            raise ValueError(f"{names[0]} makes {made}, and beside it {names[1]} makes {there}: they are to be added")
