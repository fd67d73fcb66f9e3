"""Another run's networks: what one experiment has trained, another one can study (`--from`)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from etils import epath

from resjax import data, steps, train
from resjax.checkpoint import Checkpoints
from resjax.config import Point
from resjax.errors import Failure, UserError
from resjax.files import unseal
from resjax.networks import Network
from resjax.steps import Carry

Saved = tuple[Point, epath.Path]  # a network, and the folder with its checkpoints


def networks_of(workdir: str | epath.Path) -> list[Saved]:
    """The networks of a run that have a checkpoint; those that trained together are a point each, by seed.

    Raises:
      UserError: it is no run's directory, or has no checkpoint. Failure: a record is damaged.
    """
    points = epath.Path(workdir) / "points"
    if not points.is_dir():
        raise UserError(f"--from={workdir}: is not the work directory of a run, which has a folder points")
    found = []
    for path in sorted(points.glob("*/config.json")):
        if Checkpoints(path.parent, "").steps():
            first = _recorded(path.parent)
            seeds = range(first.seed, first.seed + max(1, first.together))
            found += [(dataclasses.replace(first, seed=seed), path.parent) for seed in seeds]
    if not found:
        raise UserError(f"--from={workdir}: none of its networks has a checkpoint")
    return found


def restore(point: Point, folder: epath.Path) -> tuple[Network, Carry, data.Dataset]:
    """A network as `networks_of` gave it: the network, its newest checkpoint, and its data (see `train.trained`).

    Raises:
      UserError: there is no checkpoint of this network, or it is damaged.
    """
    network, optimizer, dataset = train.plan(point)
    images = jax.ShapeDtypeStruct((1, *dataset.train.shape), jnp.float32)
    start = functools.partial(steps.initial_carry, network, optimizer)
    expected = jax.eval_shape(lambda images: start(steps.key_of(point.seed, point.together), images), images)
    digest = folder.name.rpartition("-")[2]  # of what was trained there: a subclass of `Point`, or an older version's
    try:
        saved = Checkpoints(folder, digest).restore(expected)
    except Failure as error:
        raise UserError(f"--from: {error}") from error
    if not saved:
        raise UserError(f"--from: {folder} has no checkpoint")
    carry = saved[1]
    if point.together:
        weights = train.member((carry.params, carry.state), _place(point, folder))
        carry = carry._replace(params=weights[0], state=weights[1])
    return network, carry, dataset


def diverged(point: Point, folder: epath.Path) -> int | None:
    """The step at which the network diverged, as far as its record says; None if it did not."""
    if not (folder / "done.json").exists():
        return None
    step = unseal(folder / "done.json")["result"].get("diverged")
    return step[_place(point, folder)] if isinstance(step, list) else step


def _place(point: Point, folder: epath.Path) -> int:
    """Which one it is of the networks that trained together in `folder`."""
    return point.seed - _recorded(folder).seed


def _recorded(folder: epath.Path) -> Point:
    """What was trained in `folder`, as far as a `Point` says it; what an older version did not know has its default."""
    path, known = folder / "config.json", {field.name for field in dataclasses.fields(Point)}
    values = unseal(path)
    try:
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return Point(**{name: value for name, value in values.items() if name in known} | {"tensorboard": False})
    except (AttributeError, TypeError) as error:
        raise Failure(f"{path} is damaged ({error}): it holds no configuration of a network") from error
