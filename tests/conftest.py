"""Tests compare two ways to compute the same thing, in float64, and compile far more than they run."""

import os

os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"

import hypothesis
import jax
import jaxtyping

hypothesis.settings.register_profile("patient", deadline=None)  # no test depends on time
hypothesis.settings.load_profile("patient")

jax.config.update("jax_enable_x64", True)
# Whose functions, methods and dataclasses check the shapes of their arrays. Not among them, though they have shapes:
# data.from_arrays, data.in_memory and training.fit refuse arrays or keys themselves, with ValueError; a split may also
# hold shapes or axes in the arrays' places; beartype cannot read `Self` in the protocols of data.batches.
CHECKED = (
    "resjax.cost",
    "resjax.data.augment",
    "resjax.data.dataset",
    "resjax.gating",
    "resjax.layers",
    "resjax.network",
    "resjax.nn",
    "resjax.probes",
    "resjax.settling",
    "resjax.stack",
    "resjax.stochastic_depth",
    "resjax.theory",
    "resjax.training.evaluation",
    "resjax.training.loop",
    "resjax.training.step",
)
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int is a float, too
jaxtyping.install_import_hook(CHECKED, CHECKER)
