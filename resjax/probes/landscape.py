"""The loss around trained weights, along random directions and in the plane of the way there (Li et al. 2018).

A direction is a tree like the parameters, and moves the kernels alone: of biases, of the parameters of
norms and of connections, it is exactly zero.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from resjax import steps
from resjax.networks import Network
from resjax.stack import Layers

TOGETHER = 64  # points of a plane that one program computes, at most,
BATCH_BYTES = 64 << 20  # and what their weights and activations may take
TOLERANCE = 1e-6  # relative: what rounding adds to a loss


@jax.jit
def filter_normalized(key, params):
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


def principal_directions(trajectory: Sequence, params) -> tuple[tuple, np.ndarray, np.ndarray]:
    """The plane in which the weights moved most on their way to `params` (Li et al. 2018, section 7).

    Args:
      trajectory: the parameters at T steps before the end, T ≥ 2.
      params: those at the end, θ.

    Returns:
      Two directions of length 1, the principal ones of the matrix with rows θ_t − θ; the coordinates of the
      trajectory in their plane, T 2, in which the end is the origin and the first step has no negative
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
        return function(path, leaf, *others) if path[-1].key == "kernel" else jnp.zeros_like(leaf)

    return jax.tree_util.tree_map_with_path(direction, params, *others)


@jax.jit
def displaced(params, directions: Sequence, coordinates):
    """θ + Σ xₖ dₖ, for K directions and coordinates x (K)."""
    return jax.tree.map(lambda leaf, *axes: leaf + sum(map(jnp.multiply, coordinates, axes)), params, *directions)


def losses(network: Network, params, state, images, labels, directions: Sequence, coordinates):
    """Mean loss and accuracy at θ + Σ xₖ dₖ: P, P.

    In evaluation mode, with the running statistics of batch norm that belong to θ. The points are cut
    into batches (see `together`), so that a plane may be larger than memory.

    Args:
      network, params, state: the network, and what training left.
      images, labels: over which the mean is taken, B H W C and B.
      directions: K trees like `params`.
      coordinates: x of P points, P K.
    """
    size, found = together(network, params, state, images), []
    for first in range(0, len(coordinates), size):
        batch = coordinates[np.arange(first, first + size) % len(coordinates)]  # the last is filled up from the start
        found.append(_losses(network, params, state, images, labels, tuple(directions), jnp.asarray(batch)))
    return tuple(jnp.concatenate(values)[: len(coordinates)] for values in zip(*found, strict=True))


def together(network: Network, params, state, images) -> int:
    """How many points make a batch: each has weights of its own, and up to four streams of the images."""
    stem = functools.partial(network.stem.apply, train=False)
    stream = jax.eval_shape(stem, {"params": params["stem"], **state["stem"]}, images)
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    return max(1, min(TOGETHER, BATCH_BYTES // (weights + 4 * stream.size * stream.dtype.itemsize)))


@functools.partial(jax.jit, static_argnames="network")
def _losses(network: Network, params, state, images, labels, directions, coordinates):
    def at(coordinates):
        there = displaced(params, directions, coordinates)
        losses, hits = steps.evaluate_batch(network, there, state, images, labels, Layers())
        return losses.mean(), hits.mean()

    return jax.vmap(at)(coordinates)


def share_within(losses, centre: float, level: float) -> float:
    """The share of the losses that are at most `level` above the centre's; one that is not finite is not."""
    return float((np.asarray(losses) <= centre + level).mean())


def convexity(losses, highest: float = np.inf) -> float:
    """The share of chords that are nowhere under the loss in their middle: 1 for a convex function.

    Of losses at evenly spaced points of lines, … P, every chord counts whose middle is a point too:
    L(x) ≤ (L(x − h) + L(x + h)) / 2, to within rounding. Only chords whose ends are at most `highest`, for
    a loss that explodes is convex however ragged it is where it is small. NaN if there is none.
    """
    losses, above = np.asarray(losses, np.float64), []
    for gap in range(1, (losses.shape[-1] + 1) // 2):
        left, middle, right = losses[..., : -2 * gap], losses[..., gap:-gap], losses[..., 2 * gap :]
        mean = ((left + right) / 2)[low := np.maximum(left, right) <= highest]
        above.append(middle[low] <= mean + TOLERANCE * np.abs(mean))
    above = np.concatenate(above)
    return float(above.mean()) if len(above) else np.nan
