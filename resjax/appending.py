"""The way back through blocks that append to a memory: one memory is kept for it, not one a block."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Scan = Callable[..., tuple[jax.Array, Any]]  # see `Stack.scan`


def appended(scan: Scan, step: Callable, x: Float[Array, "B ... D"], per_block: Any) -> tuple[Float[Array, "..."], Any]:
    """`scan(step, x, per_block)`, for blocks that do not depend on what they and those behind them write.

    So the last memory stands for the memory before every block: the blocks are run once more on it, last to first, and
    what goes from block to block is the gradient of the memory. O(L) numbers are kept; the blocks' inputs are O(L²).
    There is a first derivative in reverse mode and no other, and none of `out`.
    """
    numbers, rest = _parted(per_block)

    @jax.custom_vjp
    def run(x, numbers, rest):
        y, out = scan(step, x, _whole(numbers, rest))
        return y, jax.lax.stop_gradient(out)

    def forward(x, numbers, rest):
        y, out = run(x, numbers, rest)
        return (y, out), (y, numbers, rest)

    def backward(kept, slopes):
        y, numbers, rest = kept
        slope, down = scan(functools.partial(_back, step, y), slopes[0], _whole(numbers, rest), reverse=True)
        return slope, down, None

    run.defvjp(forward, backward)
    return run(x, numbers, rest)


def _back(step: Callable, y: Array, block: Any, slope: Array, own: Any) -> tuple[Array, Any]:
    """The gradient towards the memory before a block, and towards the numbers of the block's own."""
    numbers, rest = _parted(own)
    _, pull = jax.vjp(lambda x, numbers: step(block, x, _whole(numbers, rest))[0], y, numbers)
    return pull(slope)


def _parted(tree: Any) -> tuple[Any, Any]:
    """The floating arrays of a tree, and all others: None in the place of what is in the other."""
    floating = jax.tree.map(lambda leaf: jnp.issubdtype(leaf.dtype, jnp.inexact), tree)
    numbers, rest = (
        jax.tree.map(lambda leaf, moves, own=own: leaf if moves is own else None, tree, floating)
        for own in (True, False)
    )
    return numbers, rest


def _whole(numbers: Any, rest: Any) -> Any:
    """The tree that `_parted` was given."""
    return jax.tree.map(
        lambda one, other: other if one is None else one, numbers, rest, is_leaf=lambda leaf: leaf is None
    )
