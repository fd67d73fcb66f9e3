"""Runs the real commands, in processes of their own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
SMALL = ("--depths=4,8,12", "--width=8", "--connections=residual", "--norms=batch", "--checkpoint_every=100")
POINTS = 3


def start(experiment, *arguments, **options):
    """Starts a command and returns its process."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", f"experiments.{experiment}", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes | options)


def run(experiment, *arguments):
    """Runs a command to its end: (exit code, stdout, stderr)."""
    process = start(experiment, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err
