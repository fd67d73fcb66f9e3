"""Optimisers and schedules, with what their arguments may be; all of them are optax's, and any of its own will do."""

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from resjax.nn.arguments import checked
from resjax.nn.kinds import NotNegative, Positive, Range, Share, Size

Mask = Callable[[Any], Any] | None  # of a tree of parameters: which of them decay, as optax has it; None: all

Fraction = Annotated[float, Range(above=0, below=1)]  # of training


@checked
def sgd(
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: NotNegative = 0.0,
    momentum: Share = 0.9,
    nesterov: bool = False,
    mask: Mask = None,
) -> optax.GradientTransformation:
    """SGD with momentum; weight decay is added to the gradient (L2), as in the ResNet papers."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask), optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov)
    )


@checked
def adam(
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: NotNegative = 0.0,
    b1: Share = 0.9,
    b2: Share = 0.999,
    eps: Positive = 1e-8,
    eps_root: NotNegative = 0.0,
    mu_dtype: Literal["bfloat16", "float32"] | None = None,
    nesterov: bool = False,
    mask: Mask = None,
) -> optax.GradientTransformation:
    """Adam; weight decay is added to the gradient (L2)."""
    update = optax.adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)
    return optax.chain(optax.add_decayed_weights(weight_decay, mask), update)


@checked
def adamw(
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: NotNegative = 0.0,
    b1: Share = 0.9,
    b2: Share = 0.999,
    eps: Positive = 1e-8,
    eps_root: NotNegative = 0.0,
    mu_dtype: Literal["bfloat16", "float32"] | None = None,
    nesterov: bool = False,
    mask: Mask = None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay."""
    return optax.adamw(learning_rate, b1, b2, eps, eps_root, mu_dtype, weight_decay, mask, nesterov=nesterov)


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


def constant(peak: float, steps: int) -> optax.Schedule:
    """The same rate at every step."""
    return optax.constant_schedule(peak)


@checked
def cosine(peak: float, steps: int, alpha: Share = 0.0, exponent: Positive = 1.0) -> optax.Schedule:
    """Half a cosine, from the rate to `alpha` times it (Loshchilov & Hutter 2017, arXiv 1608.03983)."""
    return optax.cosine_decay_schedule(peak, steps, alpha, exponent)


@checked
def linear(peak: float, steps: int, end: NotNegative = 0.0) -> optax.Schedule:
    """A straight line from the rate to `end`."""
    return optax.linear_schedule(peak, end, steps)


@checked
def step_schedule(
    peak: float,
    steps: int,
    at: tuple[Fraction, ...] = (0.5, 0.75),
    factor: Positive = 0.1,
    slow_steps: Size = 0,
) -> optax.Schedule:
    """The rate times `factor` at each of the fractions `at` of training (He et al. 2015, section 4.2).

    The first `slow_steps`, too, run at `factor` times the rate: their warm-up of the 110-layer network.

    Raises:
      ValueError: the slow steps last until the first change, so that no step has the rate itself.
    """
    changes: dict[int, float] = {}
    for fraction in at:
        step = max(1, round(fraction * steps))
        changes[step] = changes.get(step, 1.0) * factor  # of few steps, several may fall on one
    if not slow_steps:
        return optax.piecewise_constant_schedule(peak, changes)
    first = min(changes, default=steps)
    if slow_steps >= first:
        raise ValueError(
            f"slow_steps={slow_steps}: must be less than {first}, where the rate falls the first time in {steps} steps"
        )
    return optax.piecewise_constant_schedule(peak * factor, {slow_steps: 1 / factor} | changes)


def clip(norm: Any) -> optax.GradientTransformation:
    """Clips the global norm of the gradient; 0 does not. Unlike optax's, `norm` may be traced."""
    usual = optax.clip_by_global_norm(norm)

    def update(updates, state, params=None):
        clipped, state = usual.update(updates, state)
        return jax.tree.map(functools.partial(jnp.where, norm > 0), clipped, updates), state

    return optax.GradientTransformation(usual.init, update)
