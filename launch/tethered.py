"""Runs a module, as `python -m` does, in a process that does not outlive the one that started it.

    python -m launch.tethered $$ experiments.depth_scaling --depths=20

The first argument is the process that it is tied to.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2)


def command(words: list[str]) -> list[str]:
    """The command line for a module and its arguments, to be started by this process."""
    return [sys.executable, "-m", "launch.tethered", str(os.getpid()), *words]


def tether(parent: int):
    """Has the kernel send this process SIGTERM when its parent ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended before
            signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    tether(int(sys.argv[1]))
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # Slurm warns all of a job's processes with one; it is the worker's
        signal.signal(number, signal.SIG_IGN)
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
