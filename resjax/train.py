"""Training one network: one loop, from a `Point` to its result."""

import dataclasses
import functools
import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from resjax import architectures, config, data, networks
from resjax.checkpoint import Checkpoints
from resjax.config import Point
from resjax.errors import Failure, UserError
from resjax.metrics import Metrics, summary_writer
from resjax.networks import Network
from resjax.optimizers import Optimizer
from resjax.record import write
from resjax.resident import Shuffled, Split
from resjax.signals import NEVER, Stop
from resjax.stack import Layers
from resjax.stream import Given, Stream

EVALUATION_BATCH = 512
WEIGHTS, _, NOISE, CHANGES = range(4)  # what a run's key is folded with, for each of its independent uses


class Carry(NamedTuple):
    """What a step changes, and what a checkpoint holds."""

    params: Any
    state: Any
    optimizer: Any
    key: jax.Array
    step: jax.Array


def plan(point: Point, dataset: data.Dataset | None = None) -> tuple[Network, Optimizer, data.Dataset]:
    """What a point asks for, checked, before anything is computed or written; `dataset` replaces the point's.

    Raises:
      UserError: a name, depth, batch size or data set that cannot be, or an extra that is missing.
    """
    dataset = dataset or _dataset(point)
    if point.batch_size > len(dataset.train):
        raise UserError(f"--batch_size={point.batch_size}: {point.dataset} has {len(dataset.train)} training images")
    network = architectures.build(point, dataset.classes)
    architectures.check(point, network, dataset.train.shape, point.dataset)
    optimizer = Optimizer(**{field.name: getattr(point, field.name) for field in dataclasses.fields(Optimizer)})
    optimizer.build()
    if point.tensorboard:
        summary_writer()
    dataset.train.check(point.augment)
    return network, optimizer, dataset


def _dataset(point: Point) -> data.Dataset:
    return data.load(point.dataset, point.data_dir, point.image_size, point.examples, point.workers)


def initialize(network: Network, optimizer: Optimizer, key, images) -> Carry:
    """`initial_carry`, compiled."""
    return _compiled_initialize()(network, optimizer, key, images)


@functools.cache
def _compiled_initialize():
    # Runs once, so compile time is all that counts: XLA:CPU without optimisation takes a third of it.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(initial_carry, static_argnums=(0, 1), compiler_options=options)


def initial_carry(network: Network, optimizer: Optimizer, key, images) -> Carry:
    """The state before the first step, for images shaped like the given ones (B H W C)."""
    params, state = network.init(jax.random.fold_in(key, WEIGHTS), images)
    return Carry(params, state, optimizer.build().init(params), key, jnp.zeros((), jnp.int32))


@functools.partial(jax.jit, static_argnames=("network", "optimizer"), donate_argnames=("carry",))
def train_step(network: Network, optimizer: Optimizer, carry: Carry, source: Shuffled | Given):
    """One step on the batch that the source has for it; returns the new carry, the loss and the accuracy."""
    gradient, (loss, accuracy, state) = batch_gradient(network, carry, source)
    updates, optimizer_state = optimizer.build().update(gradient, carry.optimizer, carry.params)
    params = optax.apply_updates(carry.params, updates)
    return Carry(params, state, optimizer_state, carry.key, carry.step + 1), loss, accuracy


def batch_gradient(network: Network, carry: Carry, source: Shuffled | Given):
    """The gradient of the mean loss of one step's batch, and (loss, accuracy, new state)."""
    images, labels = source.batch(jax.random.fold_in(carry.key, CHANGES), carry.step)  # B H W C, B
    layers = Layers(key=jax.random.fold_in(jax.random.fold_in(carry.key, NOISE), carry.step))

    def loss_fn(params):
        logits, state, _ = network.apply(params, carry.state, images, layers, train=True)  # B K
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, (loss, (logits.argmax(-1) == labels).mean(), state)

    return jax.grad(loss_fn, has_aux=True)(carry.params)


@functools.partial(jax.jit, static_argnames=("network",))
def _evaluate_batch(network: Network, params, state, images, labels):
    logits, _, _ = network.apply(params, state, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels), logits.argmax(-1) == labels


def evaluate(network: Network, params, state, split: Split | Stream, stop: Stop = NEVER) -> tuple[float, float]:
    """Mean loss and accuracy over a whole split, in evaluation mode.

    Raises:
      Stopped: `stop` was set; it is looked at before every batch.
    """
    losses, hits = [], []
    for images, labels in split.all(EVALUATION_BATCH):
        stop.check()
        batch_losses, batch_hits = jax.device_get(_evaluate_batch(network, params, state, images, labels))
        losses.append(batch_losses)
        hits.append(batch_hits)
    losses, hits = np.concatenate(losses)[: len(split)], np.concatenate(hits)[: len(split)]
    return float(losses.mean(dtype=np.float64)), float(hits.mean())


def compile_ahead(point: Point):
    """Compiles what `fit` runs for a point. JAX keeps the programs, so that `fit` then starts at once.

    Meant for a second thread, while another network trains: XLA compiles outside Python's lock.
    """
    network, optimizer, dataset = plan(point)
    one, many = (jax.ShapeDtypeStruct((size, *dataset.train.shape), jnp.float32) for size in (1, EVALUATION_BATCH))
    lowered = _compiled_initialize().lower(network, optimizer, jax.random.key(0), one)
    lowered.compile()
    carry = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), lowered.out_info)
    train_step.lower(network, optimizer, carry, dataset.train.abstract(point.batch_size, point.augment)).compile()
    labels = jax.ShapeDtypeStruct((EVALUATION_BATCH,), jnp.int32)
    _evaluate_batch.lower(network, carry.params, carry.state, many, labels).compile()


@dataclasses.dataclass(frozen=True)
class Goal:
    """Training ends early once the accuracy on the training set, taken every so often, is reached."""

    train_accuracy: float
    every: int  # steps


def fit(
    point: Point,
    folder: pathlib.Path,
    stop: Stop = NEVER,
    advance: Callable[[int], None] = lambda steps: None,
    goal: Goal | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains one network, going on from the newest checkpoint in `folder` if there is one.

    Args:
      point: what to train.
      folder: where the configuration, the metrics and the checkpoints go.
      stop: when it is set, the run is saved and leaves.
      advance: called with the number of steps that have been done since the last call.
      goal: what is enough.

    Returns:
      The result, a function of `point` and `goal` alone: parameters, train_loss, train_accuracy,
      test_accuracy, diverged (the step whose loss was the first that is not finite, else None), steps.
      The timing: seconds to the first finished step, milliseconds a step after it, seconds in all.

    Raises:
      UserError: from `plan`. Failure: from the checkpoints. Stopped: `stop` was set.
    """
    started = time.perf_counter()
    network, optimizer, dataset = plan(point)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "config.json", json.dumps(dataclasses.asdict(point), indent=1))
    checkpoints = Checkpoints(folder, config.digest(point))
    carry = initialize(
        network, optimizer, jax.random.key(point.seed), jnp.zeros((1, *dataset.train.shape), jnp.float32)
    )
    batches = dataset.train.batches(point.batch_size, point.augment, point.seed)
    start = 0
    if saved := checkpoints.restore(carry):
        start, carry, place = saved
        batches.restore(place)
    step, diverged, clock, losses = start, None, _Clock(started), []

    with Metrics(folder, start, point.tensorboard) as metrics:
        while step < point.steps:
            if goal and step % goal.every == 0:
                _, reached = evaluate(network, carry.params, carry.state, dataset.train)
                if reached >= goal.train_accuracy:
                    checkpoints.save(step, carry, batches.state())
                    break
            carry, loss, accuracy = train_step(network, optimizer, carry, batches.at(step))
            losses.append(loss)  # on the device: reading it every step would make the device wait
            step += 1
            clock.tick(loss)

            log, last = step % point.log_every == 0, step == point.steps
            save = step % point.checkpoint_every == 0 or last or stop.signal
            if log or save:
                advance(len(losses))
                finite = np.isfinite(jax.device_get(losses))
                if not finite.all():
                    diverged = step - len(losses) + 1 + int(finite.argmin())
                    break
                losses = []
            if log:
                metrics.write(step, loss=loss, accuracy=accuracy, learning_rate=optimizer.rate()(step - 1))
            if save:
                checkpoints.save(step, carry, batches.state())
                stop.check()
    timing = clock.read()

    result = {"parameters": networks.parameter_count(carry.params), "steps": step, "diverged": diverged}
    if diverged is None:
        train_loss, train_accuracy = evaluate(network, carry.params, carry.state, dataset.train, stop)
        _, test_accuracy = evaluate(network, carry.params, carry.state, dataset.test, stop)
    else:
        train_loss = train_accuracy = test_accuracy = math.nan
    result |= {"train_loss": train_loss, "train_accuracy": train_accuracy, "test_accuracy": test_accuracy}
    return result, timing | {"total_seconds": time.perf_counter() - started}


def trained(point: Point, folder: pathlib.Path) -> tuple[Network, Carry, data.Dataset]:
    """What `fit` left in `folder`: the network, its newest checkpoint, and its data.

    Raises:
      Failure: there is no checkpoint, or it is damaged or another configuration's.
    """
    network, optimizer, dataset = plan(point)
    blank = initialize(
        network, optimizer, jax.random.key(point.seed), jnp.zeros((1, *dataset.train.shape), jnp.float32)
    )
    saved = Checkpoints(folder, config.digest(point)).restore(blank)
    if not saved:
        raise Failure(f"{folder} has no checkpoint: remove it, and the same command trains it again")
    return network, saved[1], dataset


class _Clock:
    """Splits the wall time into the way to the first finished step and the steps after it."""

    def __init__(self, started: float):
        self.started, self.first, self.steps = started, started, 0

    def tick(self, loss):
        if self.first == self.started:
            jax.block_until_ready(loss)
            self.first = time.perf_counter()
        else:
            self.steps += 1

    def read(self) -> dict[str, float]:
        """Seconds to the first step, compilation included; milliseconds a step, logs and saves included."""
        milliseconds = 1e3 * (time.perf_counter() - self.first) / self.steps if self.steps else math.nan
        return {"first_step_seconds": self.first - self.started, "step_milliseconds": milliseconds}
