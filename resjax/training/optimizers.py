"""Optimisers and schedules that optax lacks in this form: any of optax's own will do as well."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax


def sgd(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0, momentum: float = 0.9, nesterov: bool = False
) -> optax.GradientTransformation:
    """SGD with momentum; weight decay is added to the gradient (L2), as in the ResNet papers."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov)
    )


def adam(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0, **arguments: float
) -> optax.GradientTransformation:
    """Adam; weight decay is added to the gradient (L2)."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(learning_rate, **arguments))


def adamw(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0, **arguments: float
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay."""
    return optax.adamw(learning_rate, weight_decay=weight_decay, **arguments)


def step_schedule(
    peak: float, steps: int, at: tuple[float, ...] = (0.5, 0.75), factor: float = 0.1, slow_steps: int = 0
) -> optax.Schedule:
    """The rate times `factor` at each of the fractions `at` of training (He et al. 2015, section 4.2).

    The first `slow_steps`, too, run at `factor` times the rate: their warm-up of the 110-layer network.
    """
    changes = {round(fraction * steps): factor for fraction in at}
    if not slow_steps:
        return optax.piecewise_constant_schedule(peak, changes)
    return optax.piecewise_constant_schedule(peak * factor, {slow_steps: 1 / factor} | changes)


def clip(norm: Any) -> optax.GradientTransformation:
    """Clips the global norm of the gradient; 0 does not. Unlike optax's, `norm` may be traced."""
    usual = optax.clip_by_global_norm(norm)

    def update(updates, state, params=None):
        clipped, state = usual.update(updates, state)
        return jax.tree.map(functools.partial(jnp.where, norm > 0), clipped, updates), state

    return optax.GradientTransformation(usual.init, update)
