"""Where a block stands in its network, how modules that want to know are told, and what they may give back."""

import functools
import inspect
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Place(NamedTuple):
    """The l-th of L blocks. l travels with the layers as data, so one program serves every block; L is static."""

    block: Int[Array, "..."] | Int[np.ndarray, "..."] | int  # l, from 1
    length: int  # L
    kinds: int = 1  # that take turns: 2 in a transformer, whose attention and MLP are blocks each

    @property
    def turn(self) -> Int[Array, "..."] | Int[np.ndarray, "..."] | int:
        """Which time the kinds take their turns, from 1: what papers on transformers call the block or the layer."""
        return (self.block - 1) // self.kinds + 1

    @property
    def turns(self) -> int:
        """How many times."""
        return self.length // self.kinds


def call(
    module: nn.Module, x: Float[Array, "... D"], train: bool, place: Place | None = None
) -> Float[Array, "... _D"]:
    """`module(x, train)`, and the place for one whose `__call__` has a parameter of that name."""
    kind: type = type(module)
    return module(x, train, place=place) if _takes_place(kind) else module(x, train)


@functools.cache
def _takes_place(kind: type) -> bool:
    return "place" in inspect.signature(kind.__call__).parameters


def refuse_other(module: nn.Module, x: Array, y: Array) -> None:
    """Refuses what a module made of x where it does not fit the stream: a sum would broadcast it in silence.

    Raises:
      ValueError: y has another shape than x, or a precision that would change that of the stream.
    """
    if y.shape != x.shape:
        made, given = (" ".join(map(str, each.shape[1:])) for each in (y, x))
        raise ValueError(f"{type(module).__name__} makes {made} of {given}, not its own shape")
    if jnp.promote_types(x.dtype, y.dtype) != x.dtype:
        raise ValueError(f"{type(module).__name__} makes {y.dtype} of {x.dtype}: give its layers dtype=x.dtype")
