"""Directions in the space of the weights (Li et al. 2018, arXiv 1712.09913): random ones, and those of the way there.

A direction is a tree like the parameters, and moves the kernels alone: of biases, of the parameters of
norms and of connections, it is exactly zero.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray


@jax.jit
def filter_normalized(key: PRNGKeyArray, params: Any) -> Any:
    """A random direction whose filters are as long as the weights': d ← d ‖θ‖ / ‖d‖ (Li et al. 2018, section 4).

    A filter is all that leads to one unit or channel: D of a dense kernel D D′, h w C of a
    convolution's h w C C′. The kernels of a stage have a leading axis, of blocks with filters of their own.
    """
    flat, unravel = ravel_pytree(params)

    def direction(path, kernel, drawn):
        inputs = tuple(range(path[0].key == "stages", kernel.ndim - 1))
        length, wanted = (jnp.sqrt((tree**2).sum(inputs, keepdims=True)) for tree in (drawn, kernel))
        return drawn / length * wanted

    return _of_kernels(direction, params, unravel(jax.random.normal(key, flat.shape, flat.dtype)))


def principal_directions(
    trajectory: Sequence[Any], params: Any
) -> tuple[tuple[Any, Any], Float[np.ndarray, "T 2"], Float[np.ndarray, " T"]]:
    """The plane in which the weights moved most on their way to `params` (Li et al. 2018, section 7).

    Args:
      trajectory: the parameters at T steps before the end, T ≥ 2.
      params: those at the end, θ.

    Returns:
      Two directions of length 1, the principal ones of the matrix with rows θ_t − θ; the coordinates of the
      trajectory in their plane, in which the end is the origin and the first step has no negative
      ones; and the share of the squares that each of the T principal directions explains, NaN if nothing moved.
    """

    @jax.jit
    def moved(before):
        return ravel_pytree(_of_kernels(lambda _, end, start: start - end, params, before))[0]

    flat, unravel = ravel_pytree(params)
    rows = np.stack([np.asarray(moved(before), np.float64) for before in trajectory])  # T N
    left, sizes, right = np.linalg.svd(rows, full_matrices=False)
    signs = np.where(left[0] < 0, -1, 1)[:, None]
    with np.errstate(invalid="ignore"):
        explained = sizes**2 / (sizes**2).sum()
    axes = (signs * right)[:2]
    where = jax.tree.map(lambda leaf: leaf.sharding, params)
    found = [jax.device_put(unravel(axis.astype(flat.dtype)), where) for axis in axes]
    directions = tuple(_of_kernels(lambda _, kernel, axis: axis, params, axis) for axis in found)
    return directions, rows @ axes.T, explained


def _of_kernels(function: Callable, params, *others):
    """A direction: function(path, kernel, *others) of every kernel, and zero of whatever else there is."""

    def direction(path, leaf, *others):
        names = [getattr(step, "key", None) for step in path]
        moves = names[-1] == "kernel" and "connection" not in names
        return function(path, leaf, *others) if moves else jnp.zeros_like(leaf)

    return jax.tree_util.tree_map_with_path(direction, params, *others)


@jax.jit
def displaced(params: Any, directions: Sequence[Any], coordinates: Float[Array | np.ndarray, " K"]) -> Any:
    """θ + Σ xₖ dₖ, for K directions and coordinates x."""
    return jax.tree.map(lambda leaf, *axes: leaf + sum(map(operator.mul, coordinates, axes)), params, *directions)
