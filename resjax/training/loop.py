"""The training loop: steps, and what is looked at between them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
import optax
from jaxtyping import Array, Float

from resjax.data import Batches
from resjax.network import Network
from resjax.system.sharding import Layout
from resjax.training.step import TrainState, train_step
from resjax.training.tasks import CLASSIFICATION, Task


@dataclasses.dataclass
class Progress:
    """Where a run stands; of several networks together, loss, accuracy and `diverged` have an entry each."""

    train_state: TrainState
    batches: Batches
    step: int = 0  # steps done
    loss: Float[Array, "*M"] | None = None  # of the last step's batch
    accuracy: Float[Array, "*M"] | None = None
    diverged: list[int | None] = dataclasses.field(default_factory=lambda: [None])  # the first step without finite loss
    unread: list[tuple[Float[Array, "*M"], Float[Array, "*M"]]] = dataclasses.field(
        default_factory=list
    )  # losses and accuracies on the device: reading waits for it
    recent: list[Any] = dataclasses.field(default_factory=list)  # those that have been read, since the last `means`

    def read(self) -> None:
        """Reads the losses of the last steps, and notes which networks have diverged in them."""
        count = len(self.unread)
        found = np.array(jax.device_get(self.unread), np.float64)  # steps, loss and accuracy (, networks)
        finite = np.isfinite(found[:, 0]).reshape(count, -1)  # steps, networks
        for at in np.flatnonzero(~finite.all(0)):
            self.diverged[at] = self.diverged[at] or self.step - count + 1 + int(finite[:, at].argmin())
        self.recent += found.tolist()
        self.unread = []

    def means(self) -> tuple[Float[np.ndarray, "*M"], Float[np.ndarray, "*M"]]:
        """Loss and accuracy, the means over the batches of the steps since this was asked last."""
        loss, accuracy = np.mean(self.recent, 0)
        self.recent = []
        return np.asarray(loss), np.asarray(accuracy)


@runtime_checkable
class Look(Protocol):
    """What is looked at between steps."""

    def due(self, step: int, last: bool) -> bool:
        """Whether to look after this many steps, perhaps the last."""

    def __call__(self, progress: Progress) -> None:
        """Looks; the losses have been read."""


@dataclasses.dataclass(frozen=True)
class Every:
    """Looks every n steps."""

    steps: int
    call: Callable[[Progress], None]

    def due(self, step: int, last: bool) -> bool:
        """At every n-th step."""
        return step % self.steps == 0

    def __call__(self, progress: Progress) -> None:
        """Calls what was given."""
        self.call(progress)


def run(
    network: Network,
    tx: optax.GradientTransformation,
    progress: Progress,
    steps: int,
    looks: Sequence[Look] = (),
    *,
    layout: Layout | None = None,
    task: Task = CLASSIFICATION,
    until: Callable[[Progress], bool] = lambda progress: False,
    after_step: Callable[[Any], None] = lambda loss: None,
) -> None:
    """Steps on until `steps` are done, `until` says so before one of them, or every network has diverged.

    Args:
      network, tx: what is trained, and how.
      progress: where it stands, which moves on.
      steps: in all, those that are done counted in.
      looks: what is looked at, in this order, whenever one of them is due.
      layout: the devices.
      task: what is made small, and what counts as right.
      until: whether it is enough.
      after_step: called with every loss, on the device.
    """
    while progress.step < steps and not until(progress):
        source = progress.batches.at(progress.step)
        progress.train_state, progress.loss, progress.accuracy = train_step(
            network, tx, progress.train_state, source, layout, task
        )
        progress.unread.append((progress.loss, progress.accuracy))
        progress.step += 1
        after_step(progress.loss)
        due = [look for look in looks if look.due(progress.step, progress.step == steps)]
        if due:
            progress.read()
        if all(progress.diverged):
            return
        for look in due:
            look(progress)
