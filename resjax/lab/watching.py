"""What is looked at between the steps of a trial's training, beside the loss of a batch: errors, and every block."""

import dataclasses
import functools
from typing import Any

import jax

from resjax.lab.looks import settled
from resjax.lab.plan import Plan
from resjax.lab.trial import Trial
from resjax.lab.watched import READ
from resjax.network import Network
from resjax.probes import backward
from resjax.random_streams import stream
from resjax.system import distributed
from resjax.system.interrupts import Stop
from resjax.system.sharding import Layout
from resjax.training import evaluation, loop
from resjax.training.metrics import Metrics
from resjax.training.step import member
from resjax.training.tasks import Task


@dataclasses.dataclass
class Watch:
    """Writes a line of metrics on the networks at the start, every so many steps and at the last."""

    trial: Trial
    planned: Plan
    devices: Layout | None
    metrics: Metrics
    stop: Stop
    every: int = 0  # 0: never

    def due(self, step: int, last: bool) -> bool:
        return self.every > 0 and (step % self.every == 0 or last)

    def __call__(self, progress: loop.Progress) -> None:
        state = settled(self.planned, progress.train_state)
        weights = state.params, state.state
        count = self.trial.num_seeds
        found = [self.read(*(member(weights, at) if count else weights)) for at in range(max(1, count))]
        self.metrics.write(progress.step, **{name: [own[name] for own in found] for name in found[0]})

    def read(self, params: Any, state: Any) -> dict[str, Any]:
        """What there is to say of one network."""
        raise NotImplementedError


class Errors(Watch):
    """Loss and accuracy over the whole training and test splits, in evaluation mode."""

    def read(self, params: Any, state: Any) -> dict[str, float]:
        """A number a measure."""
        dataset = self.planned.dataset
        measure = functools.partial(
            evaluation.evaluate,
            self.planned.network,
            params,
            state,
            layout=self.devices,
            task=self.planned.task,
            before_batch=lambda: distributed.check(self.stop),
        )
        train_loss, train_accuracy = measure(dataset.train)
        test_loss, test_accuracy = measure(dataset.test)
        return {
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
        }


class Blocks(Watch):
    """What the stream and the gradients are at every block, on the first batch of the training split as it lies."""

    def read(self, params: Any, state: Any) -> dict[str, list[float]]:
        """L numbers a measure."""
        network = dataclasses.replace(self.planned.network, stochastic_depth=None)
        inputs, targets = next(iter(self.planned.dataset.train.all(self.trial.batch_size)))
        return jax.device_get(_read(network, self.planned.learned, params, state, inputs, targets, self.devices))


@functools.partial(jax.jit, static_argnames=("network", "task", "layout"))
def _read(network: Network, task: Task, params, state, inputs, targets, layout: Layout | None) -> dict[str, jax.Array]:
    if layout:
        inputs, targets = layout.split((inputs, targets))
    noise = stream(jax.random.key(0), "noise")  # for networks that draw
    mean = lambda outputs: task.loss(outputs, targets).mean()  # noqa: E731
    found = backward.read(network, params, state, inputs, mean, key=noise)
    found = {name: found[name] for name in READ}
    return layout.gather(found) if layout else found
