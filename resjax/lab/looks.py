"""What is done between the steps of a trial's training: see `resjax.training.loop`."""

import dataclasses
import functools
from collections.abc import Callable, Container
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from resjax import settling
from resjax.lab.plan import Plan
from resjax.lab.trial import Trial
from resjax.system import distributed, interrupts
from resjax.system.interrupts import Stop
from resjax.system.sharding import Layout
from resjax.training import evaluation, loop
from resjax.training.checkpoint import Checkpoints
from resjax.training.metrics import Metrics
from resjax.training.optimizers import averaged
from resjax.training.step import TrainState

SIGNALS = 10  # steps, at most, after which several processes ask each other for one: it takes a millisecond or so


@dataclasses.dataclass
class Advance:
    """Moves the progress bar."""

    every: int
    advance: Callable[[int], None]
    seen: int

    def due(self, step: int, last: bool) -> bool:
        return step % self.every == 0 or last

    def __call__(self, progress: loop.Progress) -> None:
        self.advance(progress.step - self.seen)
        self.seen = progress.step


@dataclasses.dataclass
class Log:
    """Writes a line of metrics, every so many steps and at the last, or where training may end at a goal."""

    trial: Trial
    metrics: Metrics
    planned: Plan

    def due(self, step: int, last: bool) -> bool:
        goal = self.trial.stop_accuracy and step % self.trial.stop_every == 0
        return step % self.trial.log_every == 0 or bool(goal) or last

    def __call__(self, progress: loop.Progress) -> None:
        self._write(progress.step, *progress.means())

    def diverged(self, progress: loop.Progress) -> None:
        """Writes the line of the step at which the last of the networks diverged: no numbers."""
        none = np.full_like(progress.loss, np.nan)
        self._write(max(filter(None, progress.diverged)), none, none)

    def _write(self, step: int, loss: Any, accuracy: Any) -> None:
        rate = self.planned.optimizer.rate()(step - 1)
        self.metrics.write(step, loss=loss, accuracy=accuracy, learning_rate=rate)


@dataclasses.dataclass
class Save:
    """Writes a checkpoint, and leaves if a signal has come."""

    trial: Trial
    checkpoints: Checkpoints
    metrics: Metrics
    planned: Plan
    stop: Stop
    keep: Container[int]
    signal: int = 0

    def due(self, step: int, last: bool) -> bool:
        if jax.process_count() == 1:
            self.signal = self.stop.signal
        else:  # all processes leave at one step
            asked = step % min(self.trial.log_every, SIGNALS) == 0
            self.signal = distributed.all_max(self.stop.signal) if asked else 0
        return step % self.trial.checkpoint_every == 0 or step in self.keep or last or self.signal != 0

    def __call__(self, progress: loop.Progress) -> None:
        if progress.step == self.trial.steps:  # what is measured, and read by others, has settled
            progress.train_state = settled(self.planned, progress.train_state)
        self.write(progress)
        interrupts.check(self.signal)

    def write(self, progress: loop.Progress) -> None:
        """Writes it."""
        place = {"diverged": progress.diverged, "metrics": self.metrics.text, "recent": progress.recent}
        self.checkpoints.save(progress.step, progress.train_state, place)


@dataclasses.dataclass
class Reached:
    """Whether training is good enough, which is looked at before every so many steps; then the run is saved."""

    trial: Trial
    planned: Plan
    devices: Layout | None
    save: Save

    def __call__(self, progress: loop.Progress) -> bool:
        if progress.step % self.trial.stop_every:
            return False
        found = settled(self.planned, progress.train_state)
        split = self.planned.dataset.train
        loss, accuracy = evaluation.evaluate(
            self.planned.network,
            found.params,
            found.state,
            split,
            layout=self.devices,
            task=self.planned.task,
            before_batch=lambda: distributed.check(self.save.stop),
        )
        if not (accuracy >= self.trial.stop_accuracy and loss <= self.trial.stop_loss):  # nor is one that is nan
            return False
        progress.train_state = found
        self.save.write(progress)
        return True


def settled(planned: Plan, train_state: TrainState) -> TrainState:
    """What is measured: with the average of the weights if one is kept, and every σ̂ converged (`resjax.settling`)."""
    average = averaged(train_state.optimizer)
    train_state = train_state if average is None else train_state._replace(params=average)
    if not settling.needed(train_state.state):
        return train_state
    settle = functools.partial(settling.settled, planned.network)
    one = jnp.zeros_like(planned.dataset.inputs(1))
    if train_state.key.ndim:
        settle = jax.vmap(settle, in_axes=(0, 0, None))
    return train_state._replace(state=settle(train_state.params, train_state.state, one))
