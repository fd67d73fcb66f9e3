"""Training a network on data that are at hand, from a notebook or a script: nothing is written."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import optax
import pandas as pd
from jaxtyping import PRNGKeyArray

from resjax import independence, settling
from resjax.cost import parameter_count
from resjax.data import Dataset
from resjax.network import Network
from resjax.training import evaluation, loop, tasks
from resjax.training.step import TrainState, initialize


@dataclasses.dataclass(frozen=True)
class Result:
    """A trained network."""

    network: Network
    params: Any
    state: Any  # running statistics, among others
    history: pd.DataFrame  # a row every `log_every` steps, and the last, or that at which it diverged, which has nan:
    # step, and the mean loss and accuracy of the batches since the row before
    steps: int  # that were done
    diverged: int | None  # the first step whose loss was not finite; then the measures are nan
    train_loss: float  # over the whole training split, in evaluation mode, as the following
    train_accuracy: float
    test_accuracy: float

    @property
    def parameters(self) -> int:
        """The number of trained numbers."""
        return parameter_count(self.params)

    def __repr__(self):
        measures = f"train_loss={self.train_loss:.4g}, train_accuracy={self.train_accuracy:.4g}"
        return f"Result(depth={self.network.depth}, steps={self.steps}, {measures}, diverged={self.diverged})"


def fit(
    network: Network,
    data: Dataset,
    tx: optax.GradientTransformation,
    *,
    steps: int,
    batch_size: int = 64,
    key: PRNGKeyArray,
    augmentations: Sequence[Callable] = (),
    callbacks: Sequence[loop.Look] = (),
    log_every: int = 20,
    task: tasks.Task | None = None,
    hyperparams: Mapping[str, float] | None = None,
) -> Result:
    """Trains a network, on the default device.

    Args:
      network: see `resjax.models` and `resjax.Network`.
      data: see `resjax.data`.
      tx: any optax transformation.
      steps: of training.
      batch_size: examples a step.
      key: of weights, batches and all else that is drawn: the same key gives the same result.
      augmentations: random changes of the training images, as `resjax.data.augment.flip()`.
      callbacks: what is looked at meanwhile, as `resjax.Every(100, function of a Progress)`.
      log_every: steps between rows of the history.
      task: what training makes small, and what counts as right; None is what the targets are for, see
        `resjax.training.tasks`. As `Task(loss=losses.smoothed(0.1))`.
      hyperparams: numbers of a `tx` that `optax.inject_hyperparams` made, as learning_rate: they are data, so that one
        compiled program serves all their values.

    Raises:
      ValueError: a batch larger than the data, hyperparameters that `tx` has not, or a block that makes examples of a
        batch depend on each other.
    """
    _check(network, data, steps, batch_size)
    one = jnp.zeros_like(data.inputs(1))
    batches = data.train.batches(batch_size, tuple(augmentations), key)
    progress = loop.Progress(_with(hyperparams or {}, initialize(network, tx, key, one)), batches)
    rows: list[tuple[int, float, float]] = []
    task = task or tasks.TASKS[tasks.usual(data)]
    loop.run(network, tx, progress, steps, [_History(log_every, rows), *callbacks], task=task)
    if progress.diverged[0] is not None:
        rows.append((progress.diverged[0], math.nan, math.nan))
    params = progress.train_state.params
    state = progress.train_state.state
    if settling.needed(state):
        state = settling.settled(network, params, state, one)
    diverged = progress.diverged[0]
    measures = _measures(network, params, state, data, task, diverged)
    if diverged is None and not math.isfinite(measures[0]):  # the last step did it, whose batch came before it
        diverged = progress.step
        measures = math.nan, math.nan, math.nan
    return Result(network, params, state, _table(rows), progress.step, diverged, *measures)


def _check(network: Network, data: Dataset, steps: int, batch_size: int) -> None:
    if not 0 < batch_size <= len(data.train):
        raise ValueError(f"batch_size={batch_size}: must be 1 to {len(data.train)}, the training examples")
    if steps < 1:
        raise ValueError(f"steps={steps}: must be at least 1")
    one, _ = data.train.example
    independence.check(network, one.shape, one.dtype)


def _with(hyperparams: Mapping[str, float], start: TrainState) -> TrainState:
    """The start, with these numbers in the optimiser's state."""
    if not hyperparams:
        return start
    known = getattr(start.optimizer, "hyperparams", {})
    if unknown := hyperparams.keys() - known.keys():
        raise ValueError(f"hyperparams {', '.join(sorted(unknown))}: tx has {', '.join(sorted(known)) or 'none'}")
    values = {name: jnp.full_like(known[name], value) for name, value in hyperparams.items()}
    return start._replace(optimizer=start.optimizer._replace(hyperparams=known | values))


def _table(rows: list[tuple[int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["step", "loss", "accuracy"])


@dataclasses.dataclass(frozen=True)
class _History:
    """Keeps a row every so many steps, and at the last one."""

    every: int
    rows: list[tuple[int, float, float]]

    def due(self, step: int, last: bool) -> bool:
        return step % self.every == 0 or last

    def __call__(self, progress: loop.Progress) -> None:
        loss, accuracy = progress.means()
        self.rows.append((progress.step, float(loss), float(accuracy)))


def _measures(
    network: Network, params, state, data: Dataset, task: tasks.Task, diverged: int | None
) -> tuple[float, float, float]:
    """Training loss and accuracy, test accuracy."""
    if diverged is not None:
        return math.nan, math.nan, math.nan
    train_loss, train_accuracy = evaluation.evaluate(network, params, state, data.train, task=task)
    _, test_accuracy = evaluation.evaluate(network, params, state, data.test, task=task)
    return train_loss, train_accuracy, test_accuracy
