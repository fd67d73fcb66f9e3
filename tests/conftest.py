"""Tests compare two ways to compute the same thing, in float64, and compile far more than they run."""

import os

os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"

import jax
import jaxtyping

jax.config.update("jax_enable_x64", True)
jaxtyping.install_import_hook(["resjax.probes", "resjax.theory"], "beartype.beartype")  # shapes are checked
