"""Whether what went through all blocks can be computed back: their constants, their inverse, and how far it is off."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from resjax.network import Network
from resjax.probes import blocks, inversion, inversion_bounds, lipschitz_bounds
from resjax.probes.inversion import Inverse
from resjax.probes.once import jit_once

EXAMPLES = 4  # at most, at which the constants are measured from below
NEWTON_STEPS = 20  # of the second attempt


class Recovery(NamedTuple):
    """The blocks' constants, and what their inverse makes of the stream behind them; L blocks, B examples."""

    before: Float[Array | np.ndarray, "B ... D"]  # x, the stream before the first block
    behind: Float[Array | np.ndarray, "B ... D"]
    upper: Float[Array | np.ndarray, " L"]  # bounds on the Lipschitz constants, see `lipschitz_bounds`
    lower: Float[Array | np.ndarray, " L"]
    inverse: Inverse  # x̂
    error: Float[Array | np.ndarray, " B"]  # ‖x̂ − x‖/‖x‖
    size: Float[Array | np.ndarray, " B"]  # ‖x‖


def recover(network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."], key: PRNGKeyArray) -> Recovery:
    """What becomes of inputs x when they go through all blocks and are computed back, block by block.

    By fixed points; where one is not reached the whole inverse is taken once more, with Newton's method as its second
    attempt. Not under `jax.jit`: that is a program of its own, which few networks need.

    Args:
      network, params, state: a network that `inversion.check` lets pass; norms use the running statistics in `state`.
      x: inputs, in float64 for the tolerance of `inversion.invert`.
      key: of Lanczos, for the constants.
    """
    found = jax.device_get(jit_once(_first_attempt, network)(network, params, state, x, key))
    if found.inverse.inverted.all():
        return found
    second = jit_once(_second_attempt, network)(network, params, state, found.behind, found.before)
    return found._replace(**jax.device_get(second))


def _first_attempt(network: Network, params, state, x, key) -> Recovery:
    x = blocks.before(network, params, state, x)
    y, _ = blocks.run(network, params, state, x)
    few = x[:EXAMPLES]
    return Recovery(
        before=x,
        behind=y,
        upper=lipschitz_bounds.upper(network, params, state, few[:1], key),
        lower=lipschitz_bounds.lower(network, params, state, few, key),
        **_inverse(network, params, state, y, x, newton_steps=0),
    )


def _second_attempt(network: Network, params, state, y, x):
    return _inverse(network, params, state, y, x, newton_steps=NEWTON_STEPS)


def _inverse(network: Network, params, state, y, x, newton_steps: int):
    """The inverse at y (B … D), and how far it is from the x that y was made of."""
    found = inversion.invert(network, params, state, y, newton_steps=newton_steps)
    error, size = (jnp.linalg.norm(tree.reshape(len(x), -1), axis=-1) for tree in (found.x - x, x))
    return {"inverse": found, "error": error / size, "size": size}


def measures(found: Recovery) -> dict[str, float]:
    """A recovery in numbers.

    Returns:
      lipschitz_lower and lipschitz_upper, of the block with the largest; invertible_share, of the blocks whose upper
      bound is below 1; inverse_error, relative, the largest over the examples, and inverse_bound on it (see
      `error_bound`); iterations, the most that a block took; newton_share, of blocks and examples those whose fixed
      point was not reached; not_inverted_share, those for which Newton's method failed, too.
    """
    values = {
        "lipschitz_lower": found.lower.max(),
        "lipschitz_upper": found.upper.max(),
        "invertible_share": (found.upper < 1).mean(),
        "inverse_error": found.error.max(),
        "inverse_bound": error_bound(found),
        "iterations": found.inverse.iterations.max(),
        "newton_share": found.inverse.newton.mean(),
        "not_inverted_share": 1 - found.inverse.inverted.mean(),
    }
    return {name: float(value) for name, value in values.items()}


def error_bound(found: Recovery) -> float:
    """What the largest relative error cannot exceed, but for rounding (see `inversion_bounds.total_bound`).

    NaN where a constant is 1 or more, for then nothing is promised.
    """
    if (found.upper >= 1).any():
        return math.nan
    bound = inversion_bounds.total_bound(found.upper, found.inverse.iterations, found.inverse.first)
    return float((bound / found.size).max())
