"""Planes through trained weights θ: points θ + x d₁ + y d₂ on a grid (Li et al. 2018, arXiv 1712.09913)."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from resjax.probes.directions import filter_normalized

MARGIN = 0.2  # on all sides of a trajectory, in its own lengths


@dataclasses.dataclass(frozen=True)
class Plane:
    """Two directions, trees like the parameters, and the coordinates of a grid along them; θ is at 0, 0."""

    directions: tuple[Any, Any]
    x: Float[np.ndarray, " X"]
    y: Float[np.ndarray, " Y"]

    def points(self, rows: slice = slice(None)) -> Float[np.ndarray, "P 2"]:
        """The coordinates of the points of some rows of the grid, one row after the other; a row has one y."""
        x, y = np.meshgrid(self.x, self.y[rows])
        return np.stack([x.ravel(), y.ravel()], axis=1)


def random_plane(key: PRNGKeyArray, params: Any, radius: float, points: int) -> Plane:
    """The plane of two random directions that are filter by filter as long as the weights.

    Args:
      key: of the directions.
      params: θ.
      radius: the grid reaches from −radius to radius, in lengths of the filters.
      points: along a side of the grid; an odd number has θ itself in the middle, and one is θ.
    """
    side = np.linspace(-radius, radius, points) if points > 1 else np.zeros(1)
    return Plane(tuple(filter_normalized(own, params) for own in jax.random.split(key)), side, side)


def principal_plane(directions: tuple[Any, Any], coordinates: Float[np.ndarray, "T 2"], points: int) -> Plane:
    """The plane of a trajectory, as wide as the trajectory and a margin around it.

    Args:
      directions, coordinates: as from `directions.principal_directions`.
      points: along a side of the grid.
    """
    low = np.minimum(coordinates.min(0), 0)
    high = np.maximum(coordinates.max(0), 0)
    margin = MARGIN * (high - low)
    return Plane(directions, *np.linspace(low - margin, high + margin, points).T)


def share_in_plane(explained: Float[np.ndarray, " T"]) -> float:
    """The share of a trajectory that is in its principal plane; NaN if it has no two directions, and so no plane.

    Args:
      explained: the shares of the principal directions, as from `directions.principal_directions`.
    """
    return float(explained[:2].sum()) if explained[1] > 0 else np.nan
