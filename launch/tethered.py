"""Runs a module, as `python -m` does, in a process that does not outlive the one that started it.

python -m launch.tethered experiments.depth_scaling --depths=20
"""

import ctypes
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2)


def tether():
    """Has the kernel send this process SIGTERM when the one that started it ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    tether()
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # Slurm warns all of a job's processes with one; it is the worker's
        signal.signal(number, signal.SIG_IGN)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
