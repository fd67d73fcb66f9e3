"""Runs the real commands, in processes of their own."""

import contextlib
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
SMALL = (
    "--depths=4,8,12",
    "--width=8",
    "--learning_rate=0.05",
    "--connections=residual",
    "--norms=batch",
    "--checkpoint_every=100",
)
NETWORKS = 3


def start(experiment, *arguments, **options):
    """Starts a command, an experiment or any module (`benchmarks.throughput`), and returns its process."""
    module = experiment if "." in experiment else f"experiments.{experiment}"
    command = [sys.executable, "-m", module, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes | options)


def run(experiment, *arguments):
    """Runs a command to its end: (exit code, stdout, stderr)."""
    process = start(experiment, *arguments)
    out, err = process.communicate(timeout=1500)
    return process.returncode, out, err


@contextlib.contextmanager
def one_core():
    """Processes that are started in this context have one core: results depend on their number."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def checkpointed(workdir):
    """The networks in a work directory's store that have a checkpoint."""
    return [path.parent for path in workdir.glob("store/*/SHA256SUMS") if "checkpoints/" in path.read_text()]


HOLDER = """
import pathlib, sys
from resjax.system import lock
with lock.alone(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holding(path):
    """A process that has the lock of this file until it is killed, at the latest at the end of the context."""
    command = [sys.executable, "-c", HOLDER, path]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()
