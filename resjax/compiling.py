"""Compiling programs that run once or a few times, so that compile time is all that counts."""

import functools
from collections.abc import Callable

import jax


@functools.cache
def quickly(function: Callable, static_argnums: int | tuple[int, ...] = ()):
    """`jax.jit` of a function, on a CPU without XLA's optimisation, which takes a third of the time."""
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, static_argnums=static_argnums, compiler_options=options)
