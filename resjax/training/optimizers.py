"""Optimisers and schedules that optax lacks in this form: any of optax's own will do as well."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

Mask = Callable[[Any], Any] | None  # of a tree of parameters: which of them decay, as optax has it; None: all


def sgd(
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    nesterov: bool = False,
    mask: Mask = None,
) -> optax.GradientTransformation:
    """SGD with momentum; weight decay is added to the gradient (L2), as in the ResNet papers."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask), optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov)
    )


def adam(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0, mask: Mask = None, **arguments: float
) -> optax.GradientTransformation:
    """Adam; weight decay is added to the gradient (L2)."""
    return optax.chain(optax.add_decayed_weights(weight_decay, mask), optax.adam(learning_rate, **arguments))


def adamw(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0, mask: Mask = None, **arguments: float
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay."""
    return optax.adamw(learning_rate, weight_decay=weight_decay, mask=mask, **arguments)


def matrices(params: Any) -> Any:
    """Of a network's parameters, which are matrices or kernels: not biases, norms' γ and β, or connections' scalars.

    For `mask` (Goyal et al. 2017, arXiv 1706.02677, section 5.3). The first axis of a stack's is that of its layers.
    """
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf.ndim - _in_stack(path) >= 2, params)


def _in_stack(path: tuple[Any, ...]) -> bool:
    return bool(path) and getattr(path[0], "key", None) == "stages"


class Average(NamedTuple):
    """The state of `average`: of the parameters, their average after so many steps."""

    params: Any
    steps: jax.Array


def average(decay: float) -> optax.GradientTransformation:
    """Changes nothing, and keeps the exponential moving average of the parameters: to stand last in a chain.

    It is `optax.ema`'s, corrected at once for its start (Kingma & Ba 2015, section 3): of one step, the parameters.
    """

    def init(params):
        return Average(params, jnp.zeros((), jnp.int32))

    def update(updates, state, params=None):
        steps = state.steps + 1
        share = (1 - decay) / -jnp.expm1(steps * math.log(decay))  # 1 − decay^steps, with all its digits
        found = optax.incremental_update(optax.apply_updates(params, updates), state.params, share)
        return updates, Average(optax.tree.cast_like(found, params), steps)

    return optax.GradientTransformation(init, update)


def averaged(state: Any) -> Any:
    """The parameters' average in the state of an optimiser; None if it keeps none."""
    leaves = jax.tree.leaves(state, is_leaf=lambda leaf: isinstance(leaf, Average))
    return next((leaf.params for leaf in leaves if isinstance(leaf, Average)), None)


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
