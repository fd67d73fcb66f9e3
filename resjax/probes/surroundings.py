"""The loss around a trained network: at its weights, on random lines, and over a plane (Li et al. 2018, 1712.09913)."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray, Shaped

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
    images: Shaped[Array, "B ..."]  # or tokens
    labels: Shaped[Array, "B ..."]
    key: PRNGKeyArray
    batch_statistics: bool = False  # whether norms have those of the images, as in training, or the running ones

    @property
    def loss(self) -> tuple[Network, Any, Any, Shaped[Array, "B ..."], Shaped[Array, "B ..."]]:
        """What the loss is of, as `loss_surface` and `curvature` take it."""
        return self.network, self.params, self.state, self.images, self.labels


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Where it is measured."""

    resolution: int  # points on a side of a plane, and on a line
    radius: float  # how far the random plane and the lines reach, in lengths of the filters
    lines: int  # random ones
    lanczos: int  # steps of Lanczos' algorithm
    curvature_points: int  # on a side of the random plane where the Hessian is measured
    level: float  # loss above the centre's that counts as near (see `loss_surface.share_within`)
    highest: float  # loss at the ends of a chord that counts (see `loss_surface.convexity`)


def at_weights(centre: Centre, sampling: Sampling) -> dict[str, Any]:
    """What the trained weights and random lines through them say.

    Returns:
      centre_loss, lambda_max and lambda_min, of the Hessian, convexity, of the lines; and the columns of `lines`: line,
      x, loss.
    """
    (loss,), _ = loss_surface.losses(
        *centre.loss, (centre.params, centre.params), np.zeros((1, 2)), centre.batch_statistics
    )
    key = stream(centre.key, "lanczos")
    values, _ = curvature.eigenvalues(*centre.loss, key, sampling.lanczos, centre.batch_statistics)
    x = np.linspace(-sampling.radius, sampling.radius, sampling.resolution)
    key = stream(centre.key, "lines")
    along = loss_surface.line_losses(*centre.loss, key, sampling.lines, x, centre.batch_statistics)
    line = np.repeat(np.arange(sampling.lines), len(x))
    return {
        "centre_loss": float(loss),
        "lambda_max": float(values[0]),
        "lambda_min": float(values[-1]),
        "convexity": loss_surface.convexity(along, sampling.highest),
        "lines": _lists(line=line, x=np.tile(x, sampling.lines), loss=along.ravel()),
    }


def over_random_plane(centre: Centre, sampling: Sampling) -> dict[str, Any]:
    """The plane of two random directions.

    Returns:
      share_within; the columns of `surface`: x, y, loss, accuracy; and of `curvature`, on a coarser grid: x, y,
      lambda_max and lambda_min of the Hessian; negative_curvature and negative_curvature_max, the median and the
      largest of |λ_min / λ_max| there.
    """

    def plane(points: int) -> planes.Plane:
        return planes.random_plane(stream(centre.key, "plane"), centre.params, sampling.radius, points)

    coarse = plane(sampling.curvature_points)
    points = coarse.points()
    key = stream(centre.key, "lanczos")
    largest, smallest = curvature.over_plane(*centre.loss, key, sampling.lanczos, coarse, centre.batch_statistics)
    ratios = curvature.negativity(np.asarray(largest), np.asarray(smallest))
    return {
        "negative_curvature": float(np.median(ratios)) if len(ratios) else np.nan,
        "negative_curvature_max": float(np.max(ratios)) if len(ratios) else np.nan,
        "curvature": _lists(x=points[:, 0], y=points[:, 1], lambda_max=largest, lambda_min=smallest),
    } | _surface(plane(sampling.resolution), centre, sampling.level)


def over_principal_plane(centre: Centre, sampling: Sampling, before: dict[int, Any], end: int) -> dict[str, Any]:
    """The plane in which the weights moved most.

    Args:
      centre: where they ended, after so many steps `end`.
      sampling: where it is measured.
      before: the parameters on the way, by the step, the first ones first.

    Returns:
      share_within; the columns of `surface`: x, y, loss, accuracy; and of `trajectory`: step, x, y; `explained`, the
      share of the way that is in the plane. Where the weights moved in no plane, that is NaN, and there is no surface.
    """
    directions, coordinates, explained = principal_directions(list(before.values()), centre.params)
    x, y = np.append(coordinates, np.zeros((1, 2)), axis=0).T
    share = planes.share_in_plane(explained)
    found = {"explained": share, "trajectory": _lists(step=[*before, end], x=x, y=y)}
    if not np.isnan(share):
        plane = planes.principal_plane(directions, coordinates, sampling.resolution)
        found |= _surface(plane, centre, sampling.level)
    return found


def _surface(plane: planes.Plane, centre: Centre, level: float) -> dict[str, Any]:
    points = plane.points()
    (middle,), _ = loss_surface.losses(*centre.loss, plane.directions, np.zeros((1, 2)), centre.batch_statistics)
    loss, accuracy = loss_surface.losses(*centre.loss, plane.directions, points, centre.batch_statistics)
    surface = _lists(x=points[:, 0], y=points[:, 1], loss=loss, accuracy=accuracy)
    return {"share_within": loss_surface.share_within(loss, float(middle), level), "surface": surface}


def _lists(**columns: Any) -> dict[str, list[Any]]:
    return {name: np.asarray(jax.device_get(values)).tolist() for name, values in columns.items()}
