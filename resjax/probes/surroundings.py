"""The loss around a trained network: at its weights, on random lines, and over a plane (Li et al. 2018, 1712.09913)."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from resjax.network import Network
from resjax.probes import curvature, loss_surface, planes
from resjax.probes.directions import principal_directions
from resjax.random_streams import stream


@dataclasses.dataclass(frozen=True)
class Centre:
    """A trained network, the images that its loss is the mean of, and the key of all directions."""

    network: Network
    params: Any
    state: Any
    images: Float[Array, "B H W C"]
    labels: Int[Array, " B"]
    key: PRNGKeyArray

    @property
    def loss(self) -> tuple[Network, Any, Any, Float[Array, "B H W C"], Int[Array, " B"]]:
        """What the loss is of, as `loss_surface` and `curvature` take it."""
        return self.network, self.params, self.state, self.images, self.labels


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Where it is measured."""

    resolution: int  # points on a side of a plane, and on a line
    radius: float  # how far the random plane and the lines reach, in lengths of the filters
    lines: int  # random ones
    lanczos: int  # steps of Lanczos' algorithm
    eigenvalues: int  # the largest ones
    curvature_points: int  # on a side of the random plane where the Hessian is measured


def at_weights(centre: Centre, sampling: Sampling) -> dict[str, Any]:
    """What the trained weights and random lines through them say.

    Returns:
      centre_loss, lambda_max and lambda_min, of the Hessian; the columns of `eigenvalues`: rank, eigenvalue, error; and
      of `lines`: line, x, loss.
    """
    (loss,), _ = loss_surface.losses(*centre.loss, (centre.params, centre.params), np.zeros((1, 2)))
    values, errors = curvature.eigenvalues(*centre.loss, stream(centre.key, "lanczos"), sampling.lanczos)
    first = slice(sampling.eigenvalues)
    x = np.linspace(-sampling.radius, sampling.radius, sampling.resolution)
    along = loss_surface.line_losses(*centre.loss, stream(centre.key, "lines"), sampling.lines, x)
    line = np.repeat(np.arange(sampling.lines), len(x))
    return {
        "centre_loss": float(loss),
        "lambda_max": float(values[0]),
        "lambda_min": float(values[-1]),
        "eigenvalues": _lists(rank=1 + np.arange(len(values))[first], eigenvalue=values[first], error=errors[first]),
        "lines": _lists(line=line, x=np.tile(x, sampling.lines), loss=along.ravel()),
    }


def over_random_plane(centre: Centre, sampling: Sampling) -> dict[str, Any]:
    """The plane of two random directions.

    Returns:
      The columns of `surface`: x, y, loss, accuracy; and of `curvature`, on a coarser grid: x, y, lambda_max and
      lambda_min of the Hessian; negative_curvature and negative_curvature_max, the median and the largest of
      |λ_min / λ_max| there.
    """

    def plane(points: int) -> planes.Plane:
        return planes.random_plane(stream(centre.key, "plane"), centre.params, sampling.radius, points)

    coarse = plane(sampling.curvature_points)
    points = coarse.points()
    largest, smallest = curvature.over_plane(*centre.loss, stream(centre.key, "lanczos"), sampling.lanczos, coarse)
    ratios = curvature.negativity(np.asarray(largest), np.asarray(smallest))
    return {
        "negative_curvature": float(np.median(ratios)) if len(ratios) else np.nan,
        "negative_curvature_max": float(np.max(ratios)) if len(ratios) else np.nan,
        "surface": _surface(plane(sampling.resolution), centre),
        "curvature": _lists(x=points[:, 0], y=points[:, 1], lambda_max=largest, lambda_min=smallest),
    }


def over_principal_plane(centre: Centre, sampling: Sampling, before: dict[int, Any], end: int) -> dict[str, Any]:
    """The plane in which the weights moved most.

    Args:
      centre: where they ended, after so many steps `end`.
      sampling: where it is measured.
      before: the parameters on the way, by the step, the first ones first.

    Returns:
      The columns of `surface`: x, y, loss, accuracy; and of `trajectory`: step, x, y; `explained`, the share of the way
      that is in the plane. Where the weights moved in no plane, that is NaN, and there is no surface.
    """
    directions, coordinates, explained = principal_directions(list(before.values()), centre.params)
    x, y = np.append(coordinates, np.zeros((1, 2)), axis=0).T
    share = planes.share_in_plane(explained)
    found = {"explained": share, "trajectory": _lists(step=[*before, end], x=x, y=y)}
    if not np.isnan(share):
        plane = planes.principal_plane(directions, coordinates, sampling.resolution)
        found["surface"] = _surface(plane, centre)
    return found


def _surface(plane: planes.Plane, centre: Centre) -> dict[str, list[Any]]:
    points = plane.points()
    loss, accuracy = loss_surface.losses(*centre.loss, plane.directions, points)
    return _lists(x=points[:, 0], y=points[:, 1], loss=loss, accuracy=accuracy)


def _lists(**columns: Any) -> dict[str, list[Any]]:
    return {name: np.asarray(jax.device_get(values)).tolist() for name, values in columns.items()}
