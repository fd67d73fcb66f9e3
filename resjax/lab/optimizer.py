"""The optimiser and the learning-rate schedule that a configuration names; all of them are optax's."""

import dataclasses
import functools
from collections.abc import Callable

import optax

from resjax.lab import names
from resjax.system.errors import UserError
from resjax.training.optimizers import adam, adamw, sgd, step_schedule

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {"sgd": sgd, "adam": adam, "adamw": adamw}
SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
    "constant": lambda peak, steps: optax.constant_schedule(peak),
    "cosine": lambda peak, steps, **arguments: optax.cosine_decay_schedule(peak, steps, **arguments),
    "linear": lambda peak, steps, end=0.0: optax.linear_schedule(peak, end, steps),
    "step": step_schedule,
}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The description of an optimiser. Equal ones build one object, so that programs compile once."""

    optimizer: str
    learning_rate: float
    schedule: str
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    steps: int

    @functools.cache  # noqa: B019 (descriptions are small and few)
    def rate(self) -> optax.Schedule:
        """Step -> learning rate: a linear rise over `warmup_steps`, then the schedule.

        Raises:
          UserError: an unknown schedule, or a warm-up that is longer than training.
        """
        if self.warmup_steps >= self.steps:
            raise UserError(f"--warmup_steps={self.warmup_steps}: must be less than --steps={self.steps}")
        rest = self.steps - self.warmup_steps
        schedule = names.build(self.schedule, "schedule", SCHEDULES, peak=self.learning_rate, steps=rest)
        if not self.warmup_steps:
            return schedule
        rise = optax.linear_schedule(0.0, self.learning_rate, self.warmup_steps)
        return optax.join_schedules([rise, schedule], [self.warmup_steps])

    @functools.cache  # noqa: B019
    def build(self) -> optax.GradientTransformation:
        """The gradient transformation: clip, then decay and update.

        Raises:
          UserError: an unknown optimiser or arguments that it does not take.
        """
        update = names.build(
            self.optimizer, "optimizer", OPTIMIZERS, learning_rate=self.rate(), weight_decay=self.weight_decay
        )
        return optax.chain(optax.clip_by_global_norm(self.clip_norm), update) if self.clip_norm else update
