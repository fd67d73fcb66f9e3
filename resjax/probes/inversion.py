"""The inverse of a network's blocks: from the stream behind the last block back to the one before the first.

Every block's y = x + g(x) is solved for x by fixed-point iteration, x⁰ = y, xᵏ⁺¹ = y − g(xᵏ) (Behrmann et al. 2019,
arXiv 1811.00995, algorithm 1), which finds the only solution if g's Lipschitz constant is below 1. Where it does not
converge, Newton's method tries, its linear equations solved by GMRES (Newton–Krylov). What does not converge either
stays as it is and is not called inverted.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pandas as pd
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Shaped

from resjax.layers import BlockAt
from resjax.network import Network
from resjax.nn.module import does_nothing
from resjax.probes import blocks
from resjax.probes.solvers import fixed_point, newton
from resjax.stack import Stack

INVERSE = "iterations", "newton_share", "inverted_share", "residual"


class Inverse(NamedTuple):
    """What inversion found; L blocks, B examples."""

    x: Float[Array, "B ... D"]  # the stream before the first block
    iterations: Int[Array, "L B"]  # of the fixed point
    first: Float[Array, "L B"]  # ‖x¹ − x⁰‖: how far its first iteration went
    newton: Bool[Array, "L B"]  # whether the second attempt was needed
    residual: Float[Array, "L B"]  # ‖f(x) − y‖/‖y‖ of the block f
    inverted: Bool[Array, "L B"]  # whether x converged, by one or the other


def inverse(
    network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."], tolerance: float = 1e-12, steps: int = 100
) -> pd.DataFrame:
    """A table of the blocks' inverse, last to first, from what inputs x become behind them: a row a block.

    Columns: `block`, from 0; `iterations` of the fixed point, the most over the inputs; `newton_share`, of the inputs
    that needed the second attempt; `inverted_share`, of those for which one of the two converged; `residual`,
    ‖f(x̂) − y‖/‖y‖ of the block f, the largest over the inputs. What x̂ itself is, says `invert`.

    Args:
      network, params, state: the network, in evaluation; norms use the running statistics in `state`.
      x: inputs; the default tolerance is for float64.
      tolerance, steps: see `invert`.

    Raises:
      ValueError: the blocks have no inverse, whatever their weights.
    """
    check(network)
    return blocks.table(_inverse(network, params, state, x, tolerance, steps), INVERSE)


@functools.partial(jax.jit, static_argnames=("network", "tolerance", "steps"))
def _inverse(network: Network, params, state, x, tolerance: float, steps: int):
    y, _ = blocks.run(network, params, state, blocks.before(network, params, state, x))
    found = invert(network, params, state, y, tolerance, steps)
    return {
        "iterations": found.iterations.max(1),
        "newton_share": found.newton.mean(1),
        "inverted_share": found.inverted.mean(1),
        "residual": found.residual.max(1),
    }


def invert(
    network: Network,
    params: dict,
    state: dict,
    y: Float[Array, "B ... D"],
    tolerance: float = 1e-12,
    steps: int = 100,
    newton_steps: int = 20,
) -> Inverse:
    """The inverse of all blocks, last to first, at y, the stream behind the last one.

    Args:
      network, params, state: a network that `check` lets pass; norms use the running statistics in `state`.
      y: the stream.
      tolerance: of x, relative and absolute, entry by entry.
      steps, newton_steps: the most iterations of the fixed point and of Newton's method, for a block; 0: no
        second attempt, in a program that compiles in half the time.
    """

    def back(stage, block, y, own):
        return _invert_block(blocks.at(network, stage, block, own), y, tolerance, steps, newton_steps)

    x = y
    found = []
    for stage, own in reversed(list(blocks.by_stage(network, params, state))):
        if isinstance(stage, Stack):
            x, values = stage.scan(functools.partial(back, stage), x, own, reverse=True)
            found.append(stage.by_place(values))
        else:
            x = stage.inverse(x)
    return Inverse(x, *jax.tree.map(lambda *stacks: jnp.concatenate(stacks), *reversed(found)))


def _invert_block(run: BlockAt, y, tolerance: float, steps: int, newton_steps: int):
    """x, and what `Inverse` says of the block that gives y = run(x) (B … D)."""

    def function(x):
        return run(x[None])[0]

    x, iterations, converged = jax.vmap(lambda y: fixed_point(function, y, tolerance, steps))(y)

    def again():
        tried, solved = jax.vmap(lambda y: newton(function, y, tolerance, newton_steps))(y)
        better = (solved & ~converged).reshape(-1, *[1] * (y.ndim - 1))
        return jnp.where(better, tried, x), converged | solved

    inverted = converged
    if newton_steps:
        x, inverted = lax.cond(converged.all(), lambda: (x, converged), again)
    first = _norm(jax.vmap(function)(y) - y)
    residual = _norm(jax.vmap(function)(x) - y) / _norm(y)
    return x, (iterations, first, ~converged, residual, inverted)


def _norm(x):
    """Of every example, B."""
    return jnp.linalg.norm(x.reshape(len(x), -1), axis=-1)


def check(network: Network) -> None:
    """Raises ValueError: its blocks have no inverse, whatever their weights."""
    blocks.check(network)
    if any(hasattr(block, "after") and not does_nothing(block.after) for block in network.blocks):
        raise ValueError("what stands behind the addition has no inverse; use the order PRE")
