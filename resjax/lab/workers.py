"""Several processes of one command on this machine, which share its networks, its cores and its GPUs."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from resjax.lab import flags
from resjax.lab.config import ALL, Running
from resjax.lab.view import console
from resjax.system import interrupts, platform
from resjax.system.errors import Failure


def run(command: Sequence[str], config: Running) -> None:
    """Starts `config.workers` processes of a command and returns when all have ended; prints what they say.

    One that is killed is named, and another one does its work.

    Raises:
      Failure: one has failed. Stopped: a signal has come, which they have been told.
    """
    changed = {"workers": 1, "shard": config.shard or ALL}
    words = [sys.executable, *command, *flags.command_line(config, changed)]
    started: list[subprocess.Popen[str]] = []
    arrived: list[int] = []

    def tell(number: int, frame: Any) -> None:
        arrived.append(number)
        for process in started:
            process.terminate()

    before = {number: signal.signal(number, tell) for number in interrupts.STOPPING}
    for number in range(config.workers):
        started.append(_start(words, number, config.workers))
    readers = [threading.Thread(target=_show, args=each) for each in enumerate(started, 1)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    codes = [process.wait() for process in started]
    for number, handler in before.items():
        signal.signal(number, handler)
    interrupts.check(arrived[0] if arrived else 0)
    if failed := [number for number, code in enumerate(codes, 1) if code > 0]:
        raise Failure(f"worker {', '.join(map(str, failed))} of {config.workers} failed, see above")


def _start(command: list[str], number: int, count: int) -> subprocess.Popen[str]:
    cores = platform.cores()
    _bind(sorted(cores)[number::count] or cores)  # this thread, whose cores a child has, too
    try:
        return subprocess.Popen(
            command,
            env=os.environ | _gpus(number, count),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C comes from here, once
        )
    finally:
        _bind(cores)


def _bind(cores: Iterable[int]) -> None:
    """This thread to these cores, where a system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _gpus(number: int, count: int) -> Mapping[str, str]:
    """The environment that gives a worker its GPUs: some to itself, or part of one."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = [path.name.removeprefix("nvidia") for path in pathlib.Path("/dev").glob("nvidia[0-9]*")]
    devices = [name for name in given.split(",") if name] if given is not None else sorted(there, key=int)
    if not devices:
        return {}
    own = devices[number::count] or [devices[number % len(devices)]]
    sharing = -(-count // len(devices))
    memory = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / sharing:.2f}"} if sharing > 1 else {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(own)} | memory


def _show(number: int, process: subprocess.Popen[str]) -> None:
    assert process.stdout
    for line in filter(str.strip, process.stdout):
        _say(number, line.rstrip())
    if process.wait() < 0:
        _say(number, f"ended by {signal.Signals(-process.returncode).name}: the others do its work")


def _say(number: int, text: str) -> None:
    console.print(f"[{number}] {text}", highlight=False, markup=False, soft_wrap=True)
