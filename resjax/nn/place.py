"""Where a block stands in its network, and how modules that want to know are told."""

import functools
import inspect
from typing import NamedTuple

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float, Int


class Place(NamedTuple):
    """The l-th of L blocks. l travels with the layers as data, so one program serves every block; L is static."""

    block: Int[Array, ""] | Int[np.ndarray, ""] | int  # l, from 1
    length: int  # L


def call(
    module: nn.Module, x: Float[Array, "... D"], train: bool, place: Place | None = None
) -> Float[Array, "... _D"]:
    """`module(x, train)`, and the place for one whose `__call__` has a parameter of that name."""
    kind: type = type(module)
    return module(x, train, place=place) if _takes_place(kind) else module(x, train)


@functools.cache
def _takes_place(kind: type) -> bool:
    return "place" in inspect.signature(kind.__call__).parameters
