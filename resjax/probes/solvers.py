"""The inverse of a function at one point, by fixed-point iteration and by Newton–Krylov."""

from collections.abc import Callable
from typing import Any

import lineax
import optimistix
from jaxtyping import Array, Bool, Float, Int


def fixed_point(
    function: Callable, y: Float[Array, "..."], tolerance: float, steps: int
) -> tuple[Float[Array, "..."], Int[Array, ""], Bool[Array, ""]]:
    """x with function(x) = y (one example's streams, … D), by fixed-point iteration from y.

    Returns:
      x, the iterations done, and whether the last one moved no entry by more than tolerance·(1 + |x|).
    """
    solver: optimistix.FixedPointIteration = optimistix.FixedPointIteration(rtol=tolerance, atol=tolerance)
    found: optimistix.Solution = optimistix.fixed_point(
        lambda x, _: y - (function(x) - x), solver, y, max_steps=steps, throw=False
    )
    return found.value, found.stats["num_steps"], _converged(found)


def newton(
    function: Callable, y: Float[Array, "..."], tolerance: float, steps: int
) -> tuple[Float[Array, "..."], Bool[Array, ""]]:
    """x with function(x) = y (one example's streams, … D), by Newton–Krylov from y: x, and whether it converged."""
    linear = lineax.GMRES(rtol=1e-3, atol=tolerance, restart=40, max_steps=4)  # inexact: at most 160 products
    solver: optimistix.Newton = optimistix.Newton(rtol=tolerance, atol=tolerance, linear_solver=linear)
    found: optimistix.Solution = optimistix.root_find(
        lambda x, _: function(x) - y, solver, y, max_steps=steps, throw=False
    )
    return found.value, _converged(found)


def _converged(found: optimistix.Solution) -> Bool[Array, ""]:
    result: Any = found.result  # whose comparison is no bool, as Python's usually is
    return result == optimistix.RESULTS.successful
