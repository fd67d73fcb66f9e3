"""From a trial to the objects that it asks for, checked before anything is computed or written."""

import dataclasses
import functools
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from resjax import data
from resjax.data import Dataset
from resjax.lab import building, datasets, registry, rehearsal
from resjax.lab.optimizer import Optimizer
from resjax.lab.trial import Trial
from resjax.layers import Layers
from resjax.network import Network
from resjax.system import sharding
from resjax.system.errors import UserError
from resjax.system.sharding import Layout
from resjax.training import evaluation, losses, step, tasks
from resjax.training.compilation import jit_unoptimized
from resjax.training.metrics import summary_writer
from resjax.training.step import TrainState
from resjax.training.tasks import Task


class Plan(NamedTuple):
    """What a trial asks for."""

    network: Network
    optimizer: Optimizer
    dataset: Dataset
    task: Task  # what it is measured by
    learned: Task  # what training makes small: with smoothed labels, if the trial has them


def plan(trial: Trial, dataset: Dataset | None = None) -> Plan:
    """The objects; `dataset` replaces the trial's.

    Raises:
      UserError: a name, depth, batch size or data set that cannot be, or an extra that is missing.
    """
    dataset = dataset or load(trial)
    if trial.batch_size > len(dataset.train):
        raise UserError(f"--batch_size={trial.batch_size}: {trial.dataset} has {len(dataset.train)} training images")
    task = registry.task(trial.task, dataset)
    network = building.network(trial, dataset.classes, pooled=task.pooled)
    one, _ = dataset.train.example
    building.check(trial, network, one.shape, trial.dataset, one.dtype)
    gates = registry.survival(trial.survival, trial.drop, trial.scaling, network.lengths)
    with registry.flag("survival", trial.survival):
        network = dataclasses.replace(network, stochastic_depth=gates)
    optimizer = Optimizer(**{field.name: getattr(trial, field.name) for field in dataclasses.fields(Optimizer)})
    with building.refusing(trial):
        tx = optimizer.build()
    optimizer.check()
    if trial.tensorboard:
        with registry.flag("tensorboard", "true", ImportError):
            summary_writer()
    learned = _learned(trial, task, dataset)
    changes = augmentations(trial, dataset)
    devices = layout(trial)
    split = devices.mesh.size if devices and devices.fsdp else 1
    with building.refusing(trial):
        rehearsal.augmented(changes, dataset, trial.batch_size)
        rehearsal.training(network, tx, dataset, trial.batch_size, changes, trial.num_seeds, split, learned)
    return Plan(network, optimizer, dataset, task, learned)


def enough(trial: Trial, option: str, images: int) -> None:
    """Raises UserError: an option wants more training images than there are."""
    there = len(load(trial).train)
    if images > there:
        raise UserError(f"--{option}={images}: {trial.dataset} has {there} training images")


def load(trial: Trial) -> Dataset:
    """The data set that a trial names.

    Raises:
      UserError: there is none of this name, it is not prepared, or it has not what the trial asks of it.
    """
    wanted = data.Wanted(trial.train_split, trial.test_split, trial.image_size, trial.readers)
    return _load(trial.dataset, os.path.expanduser(trial.data_dir), wanted, trial.examples, trial.random_labels)


@functools.cache
def _load(name: str, data_dir: str, wanted: data.Wanted, examples: int, random_labels: float) -> Dataset:
    found = datasets.load(name, data_dir, wanted)
    if random_labels:
        with registry.flag("random_labels", random_labels):
            found = found.with_random_labels(random_labels)
    if examples:
        with registry.flag("examples", examples):
            found = found.first(examples)
    return found


def augmentations(trial: Trial, dataset: Dataset) -> tuple:
    """The random changes of the training images that a trial names."""
    return registry.augmentations(trial.augment, dataset.streamed)


def layout(trial: Trial) -> Layout | None:
    """The devices that a trial asks for; None for one."""
    return sharding.build(trial.mesh, trial.fsdp, trial.batch_size)


def batches(trial: Trial, dataset: Dataset) -> data.Batches:
    """The training batches of a trial."""
    key = step.keys_of(trial.seed, trial.num_seeds)
    return dataset.train.batches(trial.batch_size, augmentations(trial, dataset), key)


def start(planned: Plan, trial: Trial, layout: Layout | None = None) -> TrainState:
    """The state before the first step."""
    inputs = jnp.zeros_like(planned.dataset.inputs(1))
    key = step.keys_of(trial.seed, trial.num_seeds)
    found = step.initialize(planned.network, planned.optimizer.build(), key, inputs, layout)
    return found._replace(optimizer=planned.optimizer.filled(found.optimizer))


def _learned(trial: Trial, task: Task, dataset: Dataset) -> Task:
    """The task with smoothed labels, if the trial has them."""
    if not trial.label_smoothing:
        return task
    if task.loss is not losses.loss or tasks.usual(dataset) == "regression":
        raise UserError(f"--label_smoothing={trial.label_smoothing}: goes with the cross-entropy of classes or tokens")
    return dataclasses.replace(task, loss=losses.smoothed(trial.label_smoothing))


def compile_ahead(trial: Trial) -> None:
    """Compiles what training a trial runs on one device. JAX keeps the programs, so that training then starts at once.

    Meant for a second thread, while another network trains: XLA compiles outside Python's lock.
    """
    planned = plan(trial)
    if layout(trial):
        return  # several processes must compile in the same order
    state = _state(planned, trial)
    state.compile()
    _step(planned, trial, state).compile()
    _, _, dataset, task, _ = planned
    count = evaluation.batch_size(dataset.train)
    batch = dataset.inputs(count), dataset.targets(count)
    shapes = _shapes(state)
    weights = shapes.params, shapes.state
    weights = jax.eval_shape(lambda tree: step.member(tree, 0), weights) if trial.num_seeds else weights
    evaluation.evaluate_batch.lower(planned.network, *weights, *batch, Layers(), None, task).compile()


def compiled_step(trial: Trial) -> Any:
    """The program of a training step on one device; of one that has been trained, found again."""
    planned = plan(trial)
    return _step(planned, trial, _state(planned, trial)).compile()


def _state(planned: Plan, trial: Trial) -> Any:
    """The program that makes the state before the first step."""
    network, optimizer, dataset, _, _ = planned
    key = jax.eval_shape(lambda: step.keys_of(0, trial.num_seeds))
    return jit_unoptimized(step.initial_state, (0, 1, 4)).lower(
        network, optimizer.build(), key, dataset.inputs(1), None
    )


def _shapes(state: Any) -> TrainState:
    """Of what that program makes."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state.out_info)


def _step(planned: Plan, trial: Trial, state: Any) -> Any:
    """The program of a step from such a state."""
    network, optimizer, dataset, _, learned = planned
    source = dataset.train.abstract(trial.batch_size, augmentations(trial, dataset), trial.num_seeds)
    return step.train_step.lower(network, optimizer.build(), _shapes(state), source, None, learned)
