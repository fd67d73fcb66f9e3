"""The loss around trained weights, along directions such as those of `resjax.probes.directions` (Li et al. 2018)."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Shaped

from resjax.network import Network
from resjax.probes import blocks
from resjax.probes.directions import displaced, filter_normalized
from resjax.probes.planes import random_plane
from resjax.training.losses import loss, score

AT_ONCE = 64  # points of a plane that one program computes, at most,
BATCH_BYTES = 64 << 20  # and what their weights and activations may take
TOLERANCE = 1e-6  # relative: what rounding adds to a loss


def landscape(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    key: PRNGKeyArray,
    *,
    radius: float = 1.0,
    resolution: int = 21,
) -> pd.DataFrame:
    """A table of the loss in a random plane around the weights, a row a point, resolution² in all, in evaluation.

    Columns: `x` and `y`, the coordinates along two filter-normalised directions (1: as far as the weights are long);
    `loss`, the mean cross-entropy there, and `accuracy`, a share.

    Args:
      network, params, state: the network, and what training left.
      x, labels: over which the means are taken.
      key: of the directions.
      radius: the plane reaches from −radius to radius.
      resolution: points along a side; an odd number has the weights themselves in the middle.
    """
    plane = random_plane(key, params, radius, resolution)
    points = plane.points()
    loss, accuracy = jax.device_get(losses(network, params, state, x, labels, plane.directions, points))
    return pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "loss": loss, "accuracy": accuracy})


def line_losses(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    key: PRNGKeyArray,
    lines: int,
    places: Float[np.ndarray, " P"],
    batch_statistics: bool = False,
) -> Float[np.ndarray, "lines P"]:
    """Mean loss along random lines through the weights, at these places of each.

    Args:
      network, params, state, x, labels, batch_statistics: as of `losses`.
      key: of the directions.
      lines: their number.
      places: coordinates along a line; 1: as far as the weights are long, filter by filter.
    """
    directions = [filter_normalized(own, params) for own in jax.random.split(key, lines)]
    on_axis = np.stack([places, 0 * places], axis=1)  # of a plane, so that lines and planes have one program
    measure = functools.partial(losses, network, params, state, x, labels, batch_statistics=batch_statistics)
    return np.stack([jax.device_get(measure((direction, direction), on_axis)[0]) for direction in directions])


def losses(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    directions: Sequence[Any],
    coordinates: Float[np.ndarray, "P K"],
    batch_statistics: bool = False,
) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    """Mean loss and accuracy at θ + Σ cₖ dₖ, for the coordinates c of P points.

    In evaluation, with the running statistics of batch norm that belong to θ, or as in training, with those of x at
    every point. The points are cut into batches (see `points_at_once`), so that a plane may be larger than memory.

    Args:
      network, params, state: the network, and what training left.
      x, labels: over which the mean is taken.
      directions: K trees like `params`.
      coordinates: those of the points.
      batch_statistics: whether norms have the statistics of x; for networks that draw nothing in training.
    """
    size = points_at_once(network, params, state, x)
    found = []
    for first in range(0, len(coordinates), size):
        batch = coordinates[np.arange(first, first + size) % len(coordinates)]  # the last is filled up from the start
        there = jnp.asarray(batch)
        found.append(_losses(network, batch_statistics, params, state, x, labels, tuple(directions), there))
    loss, accuracy = (jnp.concatenate(values)[: len(coordinates)] for values in zip(*found, strict=True))
    return loss, accuracy


def points_at_once(network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."]) -> int:
    """How many points make a batch: each has weights of its own, and up to four streams of the inputs."""
    stream = jax.eval_shape(functools.partial(blocks.before, network), params, state, x)
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    return max(1, min(AT_ONCE, BATCH_BYTES // (weights + 4 * stream.size * stream.dtype.itemsize)))


@functools.partial(jax.jit, static_argnames=("network", "train"))
def _losses(network: Network, train: bool, params, state, x, labels, directions, coordinates):
    def at(coordinates):
        logits, _, _ = network.apply(displaced(params, directions, coordinates), state, x, train=train)  # B K
        losses = loss(logits, labels)
        return losses.mean(), score(logits, labels).mean()

    return jax.vmap(at)(coordinates)


def share_within(losses: Float[ArrayLike, "..."], centre: float, level: float) -> float:
    """The share of the losses that are at most `level` above the centre's; one that is not finite is not."""
    return float((np.asarray(losses) <= centre + level).mean())


def convexity(losses: Float[ArrayLike, "... P"], highest: float = np.inf) -> float:
    """The share of chords that are nowhere under the loss in their middle: 1 for a convex function.

    Of losses at evenly spaced points of lines, every chord counts whose middle is a point too:
    L(x) ≤ (L(x − h) + L(x + h)) / 2, to within rounding. Only chords whose ends are at most `highest`, for
    a loss that explodes is convex however ragged it is where it is small. NaN if there is none.
    """
    losses = np.asarray(losses, np.float64)
    above = []
    for gap in range(1, (losses.shape[-1] + 1) // 2):
        left = losses[..., : -2 * gap]
        middle = losses[..., gap:-gap]
        right = losses[..., 2 * gap :]
        mean = ((left + right) / 2)[low := np.maximum(left, right) <= highest]
        above.append(middle[low] <= mean + TOLERANCE * np.abs(mean))
    found = np.concatenate(above)
    return float(found.mean()) if len(found) else np.nan
