"""What `landscape` computes: losses, eigenvalues and the way there, around one trained network."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from resjax.lab import config, trial
from resjax.lab import plan as planning
from resjax.lab.config import Point
from resjax.network import Network
from resjax.probes import loss_surface
from resjax.probes.curvature import eigenvalues as lanczos
from resjax.probes.directions import displaced, filter_normalized, principal_directions
from resjax.random_streams import stream
from resjax.training import step
from resjax.training.checkpoint import Checkpoints

MARGIN = 0.2  # on all sides of the trajectory, in its own lengths


@dataclasses.dataclass(frozen=True)
class Centre:
    """A trained network, and the way there."""

    network: Network
    params: Any
    state: Any
    images: jax.Array  # over which the loss is taken, B H W C
    labels: jax.Array  # B
    key: jax.Array
    steps: list[int]  # of the trajectory, T; the end is not in it
    principal: tuple  # directions, coordinates (T 2) and shares of the trajectory; empty if it was not kept


def restore(point: Point, piece, folder: pathlib.Path, kept: range) -> Centre:
    """The network that was trained in `folder`, where the checkpoints of the steps `kept` are.

    Raises:
      Failure: one is missing or damaged.
    """
    network, carry, dataset = trial.trained(point, folder)
    images, labels = next(dataset.train.all(piece.images))
    _, optimizer, _ = planning.plan(point)
    start = step.initialize(network, optimizer.build(), step.keys_of(point.seed), images[:1])
    saved = Checkpoints(folder, config.digest(point))
    trajectory = [start.params, *(saved.read(step, start).params for step in kept)]
    principal = principal_directions(trajectory, carry.params) if kept else ()
    key = step.keys_of(point.seed)
    return Centre(network, carry.params, carry.state, images, labels, key, [0, *kept], principal)


def measure(piece, centre: Centre) -> dict[str, dict]:
    """The columns of a piece's table, and what it adds to its network's rows of `results`: ready for JSON."""
    measurement = {
        "surface": surface,
        "lines": lines,
        "curvature": curvature,
        "eigenvalues": eigenvalues,
        "trajectory": trajectory,
    }[piece.table]
    columns, measures = measurement(piece, centre)
    return {
        "columns": {name: np.asarray(values).tolist() for name, values in columns.items()},
        "measures": {name: float(value) for name, value in measures.items()},
    }


def surface(piece, centre: Centre) -> tuple[dict, dict]:
    """Loss and accuracy in some rows of a plane."""
    directions, x, y = _plane(piece, centre, piece.resolution)
    x, y = (places.ravel() for places in np.meshgrid(x, y[piece.row : piece.row + piece.rows]))
    loss, accuracy = _losses(centre, directions, np.stack([x, y], axis=1))
    return {"x": x, "y": y, "loss": loss, "accuracy": accuracy}, {}


def curvature(piece, centre: Centre) -> tuple[dict, dict]:
    """The outermost eigenvalues of the Hessian at a few points of a plane."""
    directions, x, y = _plane(piece, centre, piece.curvature_points)
    x, y = (places.ravel() for places in np.meshgrid(x, y))
    found = []
    for point in np.stack([x, y], axis=1).astype(np.float32):
        values, _ = _eigenvalues(centre, piece.lanczos, displaced(centre.params, directions, point))
        found.append(values[[0, -1]])
    largest, smallest = np.array(found).T
    return {"x": x, "y": y, "lambda_max": largest, "lambda_min": smallest}, {}


def lines(piece, centre: Centre) -> tuple[dict, dict]:
    """The loss along random lines."""
    x = np.linspace(-piece.radius, piece.radius, piece.resolution)
    keys = jax.random.split(stream(centre.key, "lines"), piece.lines)
    directions = [filter_normalized(key, centre.params) for key in keys]
    on_axis = np.stack([x, 0 * x], axis=1)  # of a plane, so that lines and planes have one program
    loss = np.stack([_losses(centre, (direction, direction), on_axis)[0] for direction in directions])  # lines, points
    line = np.repeat(np.arange(piece.lines), len(x))
    return {"line": line, "x": np.tile(x, piece.lines), "loss": loss.ravel()}, {}


def eigenvalues(piece, centre: Centre) -> tuple[dict, dict]:
    """The largest eigenvalues of the Hessian at the end of training; loss and smallest eigenvalue there."""
    (loss,), _ = _losses(centre, (centre.params, centre.params), np.zeros((1, 2)))
    values, errors = _eigenvalues(centre, piece.lanczos, centre.params)
    first = slice(piece.eigenvalues)
    columns = {"rank": 1 + np.arange(len(values))[first], "eigenvalue": values[first], "error": errors[first]}
    return columns, {"centre_loss": loss, "lambda_max": values[0], "lambda_min": values[-1]}


def trajectory(piece, centre: Centre) -> tuple[dict, dict]:
    """The way of the weights in the plane in which they moved most, and the share of it that is there.

    The share is NaN if they did not move in two directions: then there is no plane.
    """
    _, coordinates, explained = centre.principal
    x, y = np.append(coordinates, np.zeros((1, 2)), axis=0).T
    share = explained[:2].sum() if explained[1] > 0 else np.nan
    return {"step": [*centre.steps, piece.steps], "x": x, "y": y}, {"explained": share}


def _plane(piece, centre: Centre, points: int) -> tuple[tuple, np.ndarray, np.ndarray]:
    """The directions of a plane, and so many coordinates along each."""
    if piece.plane == "random":
        keys = jax.random.split(stream(centre.key, "plane"))
        side = np.linspace(-piece.radius, piece.radius, points)
        return tuple(filter_normalized(key, centre.params) for key in keys), side, side
    directions, coordinates, _ = centre.principal
    low = np.minimum(coordinates.min(0), 0)
    high = np.maximum(coordinates.max(0), 0)
    margin = MARGIN * (high - low)
    return directions, *np.linspace(low - margin, high + margin, points).T


def _losses(centre: Centre, directions, coordinates) -> tuple[np.ndarray, np.ndarray]:
    weights = centre.network, centre.params, centre.state
    coordinates = np.asarray(coordinates, np.float32)
    return jax.device_get(loss_surface.losses(*weights, centre.images, centre.labels, directions, coordinates))


def _eigenvalues(centre: Centre, products: int, params) -> tuple[np.ndarray, np.ndarray]:
    key = stream(centre.key, "lanczos")
    return lanczos(centre.network, params, centre.state, centre.images, centre.labels, key, products)
