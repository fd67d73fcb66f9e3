"""Training one network, or several of one kind together: one loop, from a `Point` to its result."""

import dataclasses
import math
import time
from collections.abc import Callable, Container
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from resjax import architectures, config, data, distributed, mesh, networks, signals, steps, stochastic_depth
from resjax.checkpoint import Checkpoints
from resjax.compiling import quickly
from resjax.config import Point
from resjax.errors import Failure, UserError
from resjax.files import seal, unseal
from resjax.mesh import Layout
from resjax.metrics import Metrics, summary_writer
from resjax.networks import Network
from resjax.optimizers import Optimizer
from resjax.resident import Split
from resjax.signals import NEVER, Stop
from resjax.stack import Layers
from resjax.steps import Carry
from resjax.stream import Stream

EVALUATION_BATCH = 512


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
    gates = stochastic_depth.build(point.survival, point.drop, point.scaling, network.lengths)
    network = dataclasses.replace(network, stochastic_depth=gates)
    optimizer = Optimizer(**{field.name: getattr(point, field.name) for field in dataclasses.fields(Optimizer)})
    optimizer.build()
    if point.tensorboard:
        summary_writer()
    dataset.train.check(point.augment)
    _layout(point)
    return network, optimizer, dataset


def _layout(point: Point) -> Layout | None:
    return mesh.build(point.mesh, point.fsdp, point.batch_size)


def _dataset(point: Point) -> data.Dataset:
    return data.load(
        point.dataset, point.data_dir, point.image_size, point.examples, point.workers, point.random_labels
    )


def evaluate(
    network: Network,
    params,
    state,
    split: Split | Stream,
    stop: Stop = NEVER,
    layers: Layers = Layers(),
    layout: Layout | None = None,
) -> tuple[float, float]:
    """Mean loss and accuracy over a whole split, in evaluation mode.

    Raises:
      Stopped: `stop` was set; it is looked at before every batch.
    """
    losses, hits = [], []
    size = EVALUATION_BATCH + -EVALUATION_BATCH % (layout.mesh.size if layout else 1)
    for images, labels in split.all(size):
        distributed.check(stop)
        found = steps.evaluate_batch(network, params, state, images, labels, layers, layout)
        batch_losses, batch_hits = jax.device_get(found)
        losses.append(batch_losses)
        hits.append(batch_hits)
    losses, hits = np.concatenate(losses)[: len(split)], np.concatenate(hits)[: len(split)]
    return float(losses.mean(dtype=np.float64)), float(hits.mean())


def compile_ahead(point: Point):
    """Compiles what `fit` runs for a point on one device. JAX keeps the programs, so that `fit` then starts at once.

    Meant for a second thread, while another network trains: XLA compiles outside Python's lock.
    """
    network, optimizer, dataset = plan(point)
    if _layout(point):
        return  # several processes must compile in the same order
    one, many = (jax.ShapeDtypeStruct((size, *dataset.train.shape), jnp.float32) for size in (1, EVALUATION_BATCH))
    key = jax.eval_shape(lambda: steps.key_of(0, point.together))
    lowered = quickly(steps.initial_carry, (0, 1, 4)).lower(network, optimizer, key, one, None)
    lowered.compile()
    carry = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), lowered.out_info)
    source = dataset.train.abstract(point.batch_size, point.augment, point.together)
    steps.train_step.lower(network, optimizer, carry, source, None).compile()
    labels = jax.ShapeDtypeStruct((EVALUATION_BATCH,), jnp.int32)
    params, state = jax.eval_shape(lambda tree: member(tree, 0), carry[:2]) if point.together else carry[:2]
    steps.evaluate_batch.lower(network, params, state, many, labels, Layers(), None).compile()


def member(tree, place: int):
    """One of several networks' parameters, state or both."""
    return jax.tree.map(lambda leaf: leaf[place], tree)


@dataclasses.dataclass(frozen=True)
class Goal:
    """Training ends early once accuracy and loss on the training set, taken every so often, are as good."""

    train_accuracy: float
    every: int  # steps
    train_loss: float = math.inf


def fit(
    point: Point,
    folder: epath.Path,
    stop: Stop = NEVER,
    advance: Callable[[int], None] = lambda steps: None,
    goal: Goal | None = None,
    keep: Container[int] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains one network, going on from the newest checkpoint in `folder` if there is one.

    Args:
      point: what to train; several networks if `point.together` is not 0.
      folder: where the configuration, the metrics and the checkpoints go.
      stop: when it is set, the run is saved and leaves.
      advance: called with the number of steps that have been done since the last call.
      goal: what is enough; not for several networks.
      keep: steps whose checkpoints stay, beside the newest two.

    Returns:
      The result, a function of `point` and `goal` alone: parameters, train_loss, train_accuracy,
      test_accuracy, diverged (the step whose loss was the first that is not finite, else None), steps.
      Of several networks the three measures and diverged are lists; they end early if all diverge.
      The timing: seconds to the first finished step, milliseconds a step after it, seconds in all.

    Raises:
      UserError: from `plan`. Failure: from the checkpoints. Stopped: `stop` was set.
    """
    started = time.perf_counter()
    network, optimizer, dataset = plan(point)
    layout = _layout(point)
    if layout:
        dataset = dataset.on(layout)
    if distributed.first():
        folder.mkdir(parents=True, exist_ok=True)
        seal(folder / "config.json", dataclasses.asdict(point))
    checkpoints = Checkpoints(folder, config.digest(point), keep)
    carry = _start(network, optimizer, dataset, point, layout)
    batches = dataset.train.batches(point.batch_size, point.augment, point.seed, point.together)
    step, diverged, clock, losses = 0, [None] * max(1, point.together), _Clock(started), []
    several, lines = jax.process_count() > 1, None
    if saved := checkpoints.restore(carry):
        step, carry, place = saved
        batches.restore(place["batches"])
        diverged, lines = place["diverged"], place["metrics"]

    def save():
        place = {"batches": batches.state(), "diverged": diverged, "metrics": metrics.seal()}
        checkpoints.save(step, carry, place)

    with Metrics(folder, step, point.tensorboard, lines) as metrics:
        while step < point.steps:
            if goal and step % goal.every == 0:
                loss, accuracy = evaluate(network, carry.params, carry.state, dataset.train, layout=layout)
                if accuracy >= goal.train_accuracy and loss <= goal.train_loss:
                    save()
                    break
            carry, loss, accuracy = steps.train_step(network, optimizer, carry, batches.at(step), layout)
            stop.patient = True  # from here on a signal waits for the step's end, and for the save
            losses.append(loss)  # on the device: reading it every step would make the device wait
            step += 1
            clock.tick(loss)

            log, last = step % point.log_every == 0, step == point.steps
            leave = stop.signal if not several else distributed.agree(stop.signal) if log else 0  # all at one step
            due = step % point.checkpoint_every == 0 or step in keep or last or leave
            if log or due:
                advance(len(losses))
                finite = np.isfinite(jax.device_get(losses)).reshape(len(losses), -1)  # steps, networks
                for at in np.flatnonzero(~finite.all(0)):
                    diverged[at] = diverged[at] or step - len(losses) + 1 + int(finite[:, at].argmin())
                if all(diverged):
                    break
                losses = []
            if log:
                metrics.write(step, loss=loss, accuracy=accuracy, learning_rate=optimizer.rate()(step - 1))
            if due:
                save()
                signals.check(leave)
    stop.patient, timing = False, clock.read()

    measured = [
        _measures(
            network, member(carry[:2], at) if point.together else carry[:2], dataset, stop, step_of_divergence, layout
        )
        for at, step_of_divergence in enumerate(diverged)
    ]
    values = {name: [found[name] for found in measured] for name in measured[0]} if point.together else measured[0]
    parameters = networks.parameter_count(carry.params) // len(diverged)
    result = {"parameters": parameters, "steps": step} | values
    return result, timing | {"total_seconds": time.perf_counter() - started}


def _measures(
    network: Network, weights, dataset: data.Dataset, stop: Stop, diverged: int | None, layout: Layout | None
) -> dict[str, Any]:
    if diverged is not None:
        return {"diverged": diverged} | dict.fromkeys(("train_loss", "train_accuracy", "test_accuracy"), math.nan)
    train_loss, train_accuracy = evaluate(network, *weights, dataset.train, stop, layout=layout)
    _, test_accuracy = evaluate(network, *weights, dataset.test, stop, layout=layout)
    return {
        "diverged": None,
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "test_accuracy": test_accuracy,
    }


def _start(
    network: Network, optimizer: Optimizer, dataset: data.Dataset, point: Point, layout: Layout | None = None
) -> Carry:
    images = jnp.zeros((1, *dataset.train.shape), jnp.float32)
    return steps.initialize(network, optimizer, steps.key_of(point.seed, point.together), images, layout)


def trained(point: Point, folder: epath.Path) -> tuple[Network, Carry, data.Dataset]:
    """What `fit` left in `folder`: the network, its newest checkpoint, and its data.

    Raises:
      Failure: there is no checkpoint, or it is damaged or another configuration's.
    """
    network, optimizer, dataset = plan(point)
    return network, newest(folder, config.digest(point), _start(network, optimizer, dataset, point)), dataset


def newest(folder: epath.Path, digest: str, carry) -> Carry:
    """The newest checkpoint; of a network that is finished no older one than that of its last step.

    Raises:
      Failure: there is none, or it is damaged or another configuration's.
    """
    checkpoints, done = Checkpoints(folder, digest), folder / "done.json"
    result = unseal(done)["result"] if done.exists() else {}
    if None in np.ravel(np.array(result.get("diverged", 0), object)):
        return checkpoints.read(result["steps"], carry)
    saved = checkpoints.restore(carry)
    if not saved:
        raise Failure(f"{folder} has no checkpoint: remove it, and the same command trains it again")
    return saved[1]


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
