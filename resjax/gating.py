"""What is kept of a block and what is dropped: for the whole batch, for each example, or for a part of the batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Way = Callable[[jax.Array], tuple[jax.Array, Any, Any]]  # x -> the next stream, the new state, what a probe sees


def gated(
    through: Way,
    around: Way,
    x: Float[Array, "B ... D"],
    keep: Bool[Array, ""] | Bool[Array, " B"] | None,
    rows: Int[Array, " n"] | None,
) -> tuple[Float[Array, "B ... _D"], Any, Any]:
    """What comes of x (B … D), some examples of which go through the block and the others around its branch.

    Args:
      through, around: the two ways.
      x: the stream.
      keep: None, all go through; () bool, all or none, and the branch is not computed for none; or B bool.
      rows: n int, the examples that go through, and are computed alone; None lets `keep` decide.

    Returns:
      The next stream, the new state and what a probe sees. The state is that of the way through, if any goes there.
    """
    if rows is not None:
        y, state, inside = through(x[rows])
        rest, _, outside = around(x)
        y, inside = jax.tree.map(lambda o, t: o.at[rows].set(t), (rest, outside), (y, inside))
        return y, state, inside
    if keep is None:
        return through(x)
    if not keep.ndim:
        # a conditional keeps for the way back what either side would, filled with zeros for the other: keep nothing
        return lax.cond(keep, jax.checkpoint(through, prevent_cse=False), around, x)
    y, state, inside = through(x)
    rest, _, outside = around(x)

    def choose(through, around):
        return jnp.where(keep.reshape(-1, *[1] * (through.ndim - 1)), through, around)

    y, inside = jax.tree.map(choose, (y, inside), (rest, outside))
    return y, state, inside
