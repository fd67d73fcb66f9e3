"""Another run's networks: what one experiment has trained, another one can study (`--from`)."""

import dataclasses
from collections.abc import Container

import jax
import jax.numpy as jnp
from etils import epath

from resjax.data import Dataset
from resjax.lab import trial
from resjax.lab.config import Point
from resjax.lab.plan import plan
from resjax.network import Network
from resjax.system.errors import Failure, UserError
from resjax.system.files import place, read_checked
from resjax.training import step
from resjax.training.checkpoint import Checkpoints
from resjax.training.step import TrainState, member

Saved = tuple[Point, epath.Path]  # a network, and the folder with its checkpoints


def networks_of(workdir: str | epath.Path, trusted: Container[str] = ()) -> list[Saved]:
    """The networks of a run that have a checkpoint; those that trained together are a point each, by seed.

    Args:
      workdir: of the run, perhaps a stranger's.
      trusted: the names of the form package.module:Name that may be imported if they are part of a network.

    Raises:
      UserError: it is no run's directory, has no checkpoint, or names code that is not trusted. Failure: a record is
        damaged.
    """
    points = place(str(workdir)) / "points"
    if not points.is_dir():
        raise UserError(f"--from={workdir}: is not the work directory of a run, which has a folder points")
    found = []
    for path in sorted(points.glob("*/config.json")):
        if Checkpoints(path.parent, "").steps():
            first = _recorded(path.parent)
            _refuse_code(first, path, trusted)
            seeds = range(first.seed, first.seed + max(1, first.num_seeds))
            found += [(dataclasses.replace(first, seed=seed), path.parent) for seed in seeds]
    if not found:
        raise UserError(f"--from={workdir}: none of its networks has a checkpoint")
    return found


def restore(point: Point, folder: epath.Path) -> tuple[Network, TrainState, Dataset]:
    """A network as `networks_of` gave it: the network, its newest checkpoint, and its data (see `trial.trained`).

    Raises:
      UserError: there is no checkpoint of this network, or it is damaged.
    """
    network, optimizer, dataset = plan(point)
    images = jax.ShapeDtypeStruct((1, *dataset.train.shape), jnp.float32)

    def start(images):
        return step.initial_state(network, optimizer.build(), step.keys_of(point.seed, point.num_seeds), images)

    expected = jax.eval_shape(start, images)
    digest = folder.name.rpartition("-")[2]  # of what was trained there: a subclass of `Point`, or an older version's
    try:
        found = trial.newest(folder, digest, expected)
    except Failure as error:
        raise UserError(f"--from: {error}") from error
    if point.num_seeds:
        params, state = member((found.params, found.state), _place(point, folder))
        found = found._replace(params=params, state=state)
    return network, found, dataset


def diverged(point: Point, folder: epath.Path) -> int | None:
    """The step at which the network diverged, as far as its record says; None if it did not."""
    if not (folder / "done.json").exists():
        return None
    step = read_checked(folder / "done.json")["result"].get("diverged")
    return step[_place(point, folder)] if isinstance(step, list) else step


def _place(point: Point, folder: epath.Path) -> int:
    """Which one it is of the networks that trained together in `folder`."""
    return point.seed - _recorded(folder).seed


def _recorded(folder: epath.Path) -> Point:
    """What was trained in `folder`, as far as a `Point` says it; what an older version did not know has its default.

    So has what does not decide the result: where data lie and what computes is this command's to say.
    """
    path = folder / "config.json"
    chosen = {}
    values = read_checked(path)
    for field in dataclasses.fields(Point):
        if field.name in values and field.metadata["changes_results"]:
            value = values[field.name]
            chosen[field.name] = tuple(value) if isinstance(value, list) else value
            if not _like(chosen[field.name], field.default):
                raise Failure(f"{path} is damaged: it holds no configuration of a network, {field.name} is {value!r}")
    return Point(**chosen)


def _like(value, default) -> bool:
    """Whether a value has the type of its option's default."""
    if isinstance(value, tuple) and isinstance(default, tuple):
        return all(_like(element, default[0]) for element in value)
    return type(value) in ((float, int) if type(default) is float else (type(default),))


def _refuse_code(point: Point, path: epath.Path, trusted: Container[str]):
    for name, value in dataclasses.asdict(point).items():
        for text in value if isinstance(value, tuple) else (value,):
            if ":" in str(text) and text not in trusted:
                raise UserError(
                    f"--from: the {name} in {path} is code from elsewhere, {text}: if you trust it, "
                    f"give that name as a flag, too, as in --{name}={text}"
                )
