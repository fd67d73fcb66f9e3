"""Runs the real commands, in processes of their own."""

import atexit
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
SMALL = ("--depths=4,8,12", "--width=8", "--connections=residual", "--norms=batch", "--checkpoint_every=100")
POINTS = 3
COMPILED = tempfile.mkdtemp(prefix="resjax-tests-")
atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
QUICK = {  # commands compile far more than they run, and what one has compiled the next one need not
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_COMPILATION_CACHE_DIR": COMPILED,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def start(experiment, *arguments, **options):
    """Starts a command, an experiment or any module (`benchmarks.throughput`), and returns its process."""
    environment = os.environ | QUICK
    module = experiment if "." in experiment else f"experiments.{experiment}"
    command = [sys.executable, "-m", module, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes | options)


def run(experiment, *arguments):
    """Runs a command to its end: (exit code, stdout, stderr)."""
    process = start(experiment, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err
