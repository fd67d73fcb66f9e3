"""Optimisers and learning-rate schedules by name; all of them are optax's."""

import dataclasses

import optax

from resjax import names
from resjax.errors import UserError


def sgd(learning_rate, weight_decay, momentum=0.9, nesterov=False):
    """SGD with momentum; weight decay is added to the gradient (L2), as in the ResNet papers."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov)
    )


def adam(learning_rate, weight_decay, **arguments):
    """Adam; weight decay is added to the gradient (L2)."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(learning_rate, **arguments))


def adamw(learning_rate, weight_decay, **arguments):
    """Adam with decoupled weight decay."""
    return optax.adamw(learning_rate, weight_decay=weight_decay, **arguments)


def step(peak, steps, at=(0.5, 0.75), factor=0.1, slow_steps=0):
    """The rate times `factor` at each of the fractions `at` of training (He et al. 2015).

    The first `slow_steps`, too, run at `factor` times the rate: their warm-up of the 110-layer network.
    """
    changes = {round(fraction * steps): factor for fraction in at}
    if not slow_steps:
        return optax.piecewise_constant_schedule(peak, changes)
    return optax.piecewise_constant_schedule(peak * factor, {slow_steps: 1 / factor} | changes)


OPTIMIZERS = {"sgd": sgd, "adam": adam, "adamw": adamw}
SCHEDULES = {
    "constant": lambda peak, steps: optax.constant_schedule(peak),
    "cosine": lambda peak, steps, **arguments: optax.cosine_decay_schedule(peak, steps, **arguments),
    "linear": lambda peak, steps, end=0.0: optax.linear_schedule(peak, end, steps),
    "step": step,
}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The description of an optimiser: plain data, so that equal ones compile once."""

    optimizer: str
    learning_rate: float
    schedule: str
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    steps: int

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

    def build(self) -> optax.GradientTransformation:
        """The gradient transformation: clip, then decay and update.

        Raises:
          UserError: an unknown optimiser or arguments that it does not take.
        """
        update = names.build(
            self.optimizer, "optimizer", OPTIMIZERS, learning_rate=self.rate(), weight_decay=self.weight_decay
        )
        return optax.chain(optax.clip_by_global_norm(self.clip_norm), update) if self.clip_norm else update
