"""The optimiser and the learning-rate schedule that a configuration names; all of them are optax's.

Rate, decay and clip are data, in the optimiser's state: networks that differ in nothing else share their programs.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from resjax.lab import names, own
from resjax.system.errors import UserError
from resjax.training import optimizers

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": optimizers.sgd,
    "adam": optimizers.adam,
    "adamw": optimizers.adamw,
}
SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
    "constant": optimizers.constant,
    "cosine": optimizers.cosine,
    "linear": optimizers.linear,
    "step": optimizers.step_schedule,
}
WANTED = {  # of what is somebody's own
    "optimizer": "a function (learning_rate, weight_decay) that gives an optax.GradientTransformation",
    "schedule": "a function (peak, steps) that gives a function step -> rate",
}
LOOKS = 1000  # steps at which a schedule is looked at, at most
DATA = ("learning_rate", "weight_decay", "clip_norm")


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The description of an optimiser. Those that differ in `DATA` alone build one object, and compile once."""

    optimizer: str
    learning_rate: float
    schedule: str
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    steps: int
    decay: str = "all"
    ema: float = 0.0

    def rate(self) -> optax.Schedule:
        """Step -> learning rate: a linear rise over `warmup_steps`, then the schedule.

        Raises:
          UserError: an unknown schedule, or a warm-up that is longer than training.
        """
        if self.warmup_steps >= self.steps:
            raise UserError(f"--warmup_steps={self.warmup_steps}: must be less than --steps={self.steps}")
        return _rate(self.learning_rate, self.schedule, self.warmup_steps, self.steps)

    def check(self) -> None:
        """Looks at the rate of every step, or of some of many.

        Raises:
          UserError: it is negative, infinite or no number, or nothing ever moves.
        """
        steps = np.unique(np.linspace(0, self.steps - 1, min(self.steps, LOOKS)).astype(int))
        try:
            rates = np.asarray(_rates(self.schedule, self.warmup_steps, self.steps)(self.learning_rate, steps))
        except UserError:
            raise
        except Exception as error:  # of somebody's own
            line = own.explained(error, {self.schedule: WANTED["schedule"]})
            raise UserError(f"schedule {self.schedule!r}: {line}") from error
        if rates.shape != steps.shape:
            raise UserError(f"schedule {self.schedule!r}: must give one number a step, not {rates[0].size}")
        bad = np.flatnonzero(~((rates >= 0) & np.isfinite(rates)))
        if bad.size:
            at = bad[0]
            raise UserError(f"schedule {self.schedule!r}: gives {rates[at]:g} at step {steps[at]}")
        if self.learning_rate and not rates.any():
            raise UserError(f"schedule {self.schedule!r}: gives 0 at all of --steps={self.steps}")

    def build(self) -> optax.GradientTransformation:
        """The gradient transformation: clip, decay and update, average. What `DATA` names is to be `filled` in.

        Raises:
          UserError: an unknown optimiser, arguments that it does not take, or one that branches on what is data.
        """
        self.rate()
        steps = 0 if self.schedule == "constant" else self.steps  # of which a constant rate knows nothing
        return _transformation(self.optimizer, self.schedule, self.warmup_steps, steps, self.decay, self.ema)

    def filled(self, state: Any) -> Any:
        """The state of `build` with this optimiser's rate, decay and clip; of several networks all have the same."""
        values = {name: jnp.full_like(leaf, getattr(self, name)) for name, leaf in state.hyperparams.items()}
        return state._replace(hyperparams=values)


@functools.cache
def _rates(schedule: str, warmup_steps: int, steps: int) -> Callable[[Any, Any], Any]:
    """(peak, some steps) -> their rates."""
    return jax.jit(lambda peak, at: jax.vmap(_rate(peak, schedule, warmup_steps, steps))(at))


def _rate(peak: Any, schedule: str, warmup_steps: int, steps: int) -> optax.Schedule:
    wanted = WANTED["schedule"]
    rest = names.build(
        schedule, "schedule", SCHEDULES, wanted=wanted, accepts=callable, peak=peak, steps=steps - warmup_steps
    )
    if not warmup_steps:
        return rest
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), rest], [warmup_steps])


def _is_optimizer(found: Any) -> bool:
    return hasattr(found, "init") and hasattr(found, "update") and not isinstance(found, type)


@functools.cache
def _transformation(
    optimizer: str, schedule: str, warmup_steps: int, steps: int, decay: str, ema: float
) -> optax.GradientTransformation:
    mask = {"mask": optimizers.matrices} if decay == "matrices" else {}
    last = [optimizers.average(ema)] if ema else []

    def rule(learning_rate, weight_decay, clip_norm):
        rate = _rate(learning_rate, schedule, warmup_steps, steps)
        known = {"learning_rate": rate, "weight_decay": weight_decay} | mask
        wanted = WANTED["optimizer"]
        update = names.build(optimizer, "optimizer", OPTIMIZERS, wanted=wanted, accepts=_is_optimizer, **known)
        return optax.chain(optimizers.clip(clip_norm), update, *last)

    tx = optax.inject_hyperparams(rule)(**dict.fromkeys(DATA, math.nan))
    try:
        jax.eval_shape(tx.init, jnp.zeros(1))
    except UserError as error:
        if isinstance(error.__cause__, jax.errors.ConcretizationTypeError):
            raise UserError(f"--optimizer={optimizer}: must not branch on rate or decay, which are traced") from error
        raise
    return tx
