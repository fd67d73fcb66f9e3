"""Tests compare two ways to compute the same thing, in float64, and compile far more than they run.

What a test compiles stays in memory until its module ends; what the commands compile that tests start stays on disk
until all tests end. A test that fills the memory, or never ends (pyproject.toml has how long), ends its worker, and
pytest-xdist names the test.
"""

import atexit
import os
import shutil
import tempfile
from importlib import metadata

FLAGS = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]  # quick to compile
if metadata.version("jaxlib").startswith("0.10."):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")  # they compile for twice as long; later ones have no other way
os.environ["XLA_FLAGS"] = " ".join(FLAGS)
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers have the one of who started them
    COMPILED = tempfile.mkdtemp(prefix="resjax-tests-")
    atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import gc
import resource

import hypothesis
import jax
import jaxtyping
import pytest

hypothesis.settings.register_profile("patient", deadline=None)  # no test depends on time
hypothesis.settings.load_profile("patient")

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)  # a sixth of the time, to read next to nothing
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

GIB = 2**30
PROCESS = 8 * GIB  # that a process may have: a test, or a command that it starts
WORKER = 2 * GIB  # that a worker comes to, with such a command
TOTAL = 12 * GIB  # that all workers together come to
_, HARD = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (PROCESS if HARD == resource.RLIM_INFINITY else min(PROCESS, HARD), HARD))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """How many workers `-n auto` has: one a core, one for the times in which tests wait, as far as they fit into the
    memory, half of which is others'."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return workers(cores + 1, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def workers(cores, memory):
    """So many for a machine with these cores and bytes."""
    return max(1, min(cores, min(TOTAL, memory // 2) // WORKER))


LONG = ("test_workers", "test_distributed", "test_extending", "test_resume", "test_bad_input", "test_mesh")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Workers take file after file: those of few and long tests come first, so that none is begun last."""
    items.sort(key=lambda item: LONG.index(item.module.__name__) if item.module.__name__ in LONG else len(LONG))


@pytest.fixture(autouse=True, scope="module")
def fresh():
    """Each module compiles for itself."""
    yield
    jax.clear_caches()
    gc.collect()
