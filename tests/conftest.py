"""Tests compare two ways to compute the same thing, in float64, and compile far more than they run."""

import os

os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"

import jax

jax.config.update("jax_enable_x64", True)
