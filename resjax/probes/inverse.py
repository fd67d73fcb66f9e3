"""The inverse of a stack of blocks: from the stream behind the last block back to the one before the first.

Every block's y = x + g(x) is solved for x by fixed-point iteration, x⁰ = y, xᵏ⁺¹ = y − g(xᵏ) (Behrmann et al. 2019,
arXiv 1811.00995, algorithm 1), which finds the only solution if g's Lipschitz constant is below 1. Where it does not
converge, Newton's method tries, its linear equations solved by GMRES (Newton–Krylov). What does not converge either
stays as it is and is not called inverted.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import lineax
import optimistix
from jax import lax

from resjax.errors import UserError
from resjax.networks import Network
from resjax.parts import ORDERS
from resjax.probes import blocks
from resjax.squeezing import spread


class Inverse(NamedTuple):
    """What inversion found; L blocks, B examples."""

    x: jax.Array  # B … D, the stream before the first block
    iterations: jax.Array  # L B int, of the fixed point
    first: jax.Array  # L B, ‖x¹ − x⁰‖: how far its first iteration went
    newton: jax.Array  # L B bool: whether the second attempt was needed
    residual: jax.Array  # L B, ‖f(x) − y‖/‖y‖ of the block f
    inverted: jax.Array  # L B bool: whether x converged, by one or the other


def fixed_point(function: Callable, y, tolerance: float, steps: int):
    """x with function(x) = y (one example's streams, … D), by fixed-point iteration from y.

    Returns:
      x, the iterations done, and whether the last one moved no entry by more than tolerance·(1 + |x|).
    """
    solver = optimistix.FixedPointIteration(rtol=tolerance, atol=tolerance)
    found = optimistix.fixed_point(lambda x, _: y - (function(x) - x), solver, y, max_steps=steps, throw=False)
    return found.value, found.stats["num_steps"], found.result == optimistix.RESULTS.successful


def newton(function: Callable, y, tolerance: float, steps: int):
    """x with function(x) = y (one example's streams, … D), by Newton–Krylov from y: x, and whether it converged."""
    linear = lineax.GMRES(rtol=1e-3, atol=tolerance, restart=40, max_steps=4)  # inexact: at most 160 products
    solver = optimistix.Newton(rtol=tolerance, atol=tolerance, linear_solver=linear)
    found = optimistix.root_find(lambda x, _: function(x) - y, solver, y, max_steps=steps, throw=False)
    return found.value, found.result == optimistix.RESULTS.successful


def invert(
    network: Network, params, state, y, tolerance: float = 1e-12, steps: int = 100, newton_steps: int = 20
) -> Inverse:
    """The inverse of all blocks, last to first, at y (B … D), the stream behind the last one.

    Args:
      network, params, state: a network that `check` lets pass; norms use the running statistics in `state`.
      tolerance: of x, relative and absolute, entry by entry.
      steps, newton_steps: the most iterations of the fixed point and of Newton's method, for a block; 0: no
        second attempt, in a program that compiles in half the time.
    """
    found, x = [], y
    for stack, variables in reversed(list(blocks.by_stack(network, params, state))):

        def body(y, variables, block=stack.block):
            def function(x):
                return blocks.apply(block, variables, x[None])[0]

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

        x, values = lax.scan(body, x, variables, reverse=True)
        x = spread(x, stack.squeeze)
        found.append(values)
    return Inverse(x, *jax.tree.map(lambda *stacks: jnp.concatenate(stacks), *reversed(found)))


def _norm(x):
    """Of every example, B."""
    return jnp.linalg.norm(x.reshape(len(x), -1), axis=-1)


def check(network: Network):
    """Raises UserError: its blocks have no inverse, whatever their weights."""
    blocks.check(network)
    order = network.stages[0].block.branch.order
    if ORDERS[order].joined:
        raise UserError(f"--order={order}: what stands behind the addition has no inverse; use pre")


def bound(constant: float, iterations, first):
    """cᵏ/(1 − c)·‖x¹ − x⁰‖, which ‖x − xᵏ‖ cannot exceed (Behrmann et al. 2019, section 2).

    Args:
      constant: c, a Lipschitz constant of the block's y − x.
      iterations: k.
      first: ‖x¹ − x⁰‖, the norm of y − x at y.

    Raises:
      UserError: a constant of 1 or more, which promises no inverse.
    """
    if not 0 <= constant < 1:
        raise UserError(f"Lipschitz constant {constant:g}: an inverse is promised only below 1")
    return constant**iterations / (1 - constant) * first


def total_bound(constants: Sequence[float], iterations, first):
    """What the error ‖x − x̂‖ of the inverse of all blocks cannot exceed, but for rounding: B.

    Every block adds its own `bound`, and makes at most 1/(1 − c) of the error that comes from the blocks behind it.

    Args:
      constants: c by block, L.
      iterations, first: as in `Inverse`, L B.

    Raises:
      UserError: a constant of 1 or more, which promises no inverse.
    """
    error = 0.0
    for constant, steps, start in zip(*(reversed(list(rows)) for rows in (constants, iterations, first)), strict=True):
        error = error / (1 - constant) + bound(constant, steps, start)
    return error
