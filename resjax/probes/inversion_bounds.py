"""How far an inverse by fixed-point iteration can be off, from the Lipschitz constants of the blocks' y − x."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Array, Float, Int

Real = Array | np.ndarray | np.number | float | int  # all that is like an array but complex numbers, without order


def bound(constant: Float[Real, ""], iterations: Int[Real, "..."], first: Float[Real, "..."]) -> Float[Real, "..."]:
    """cᵏ/(1 − c)·‖x¹ − x⁰‖, which ‖x − xᵏ‖ cannot exceed (Behrmann et al. 2019, section 2).

    Args:
      constant: c, a Lipschitz constant of the block's y − x.
      iterations: k.
      first: ‖x¹ − x⁰‖, the norm of y − x at y.

    Raises:
      ValueError: a constant of 1 or more, which promises no inverse.
    """
    if not 0 <= constant < 1:
        raise ValueError(f"Lipschitz constant {constant:g}: an inverse is promised only below 1")
    return constant**iterations / (1 - constant) * first


def total_bound(
    constants: Iterable[Float[Real, ""]],
    iterations: Iterable[Int[Real, " B"]],
    first: Iterable[Float[Real, " B"]],
) -> Float[Real, " B"]:
    """What the error ‖x − x̂‖ of the inverse of all blocks cannot exceed, but for rounding: B.

    Every block adds its own `bound`, and makes at most 1/(1 − c) of the error that comes from the blocks behind it.

    Args:
      constants: c by block, L.
      iterations, first: as in `inversion.Inverse`, L B.

    Raises:
      ValueError: a constant of 1 or more, which promises no inverse.
    """
    error = 0.0
    for constant, steps, start in zip(*(reversed(list(rows)) for rows in (constants, iterations, first)), strict=True):
        error = error / (1 - constant) + bound(constant, steps, start)
    return error
