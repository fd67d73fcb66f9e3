"""One command on several machines: their processes find each other, and none waits for one that is gone.

JAX's runtime does the work, but ends a process from C++, with a stack trace, when another one died. Therefore each
process has a parent that reads what it writes to stderr, and says the same in one line.
"""

import dataclasses
import os
import re
import signal
import socket
import sys
import threading
import time
from typing import Any

from resjax.system import interrupts
from resjax.system.errors import Failure, UserError

FATAL = re.compile(r"F\d{4} \d\d:\d\d:\d\d")  # how a line begins with which C++ ends a process
GO = "go"  # what process 0 answers once all are there


@dataclasses.dataclass(frozen=True)
class Group:
    """The processes, and which of them this one is."""

    coordinator: str  # HOST:PORT of process 0
    processes: int
    process: int


def start(config: Any, command: str) -> None:
    """Becomes one process of several; for the options see `config.Running`. To be called before JAX starts threads.

    Raises:
      UserError: coordinator and processes that cannot be. Failure: processes are missing, which it names.
    """
    group = _given(config)
    _supervise(command)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # of C++ only what ends the process
    import jax

    try:
        if group:
            _gather(group, config.startup)
        jax.distributed.initialize(  # which finds Cloud TPU, Slurm and GKE, among others, by itself
            group.coordinator if group else None,
            group.processes if group else None,
            group.process if group else None,
            initialization_timeout=config.startup,
            heartbeat_timeout_seconds=config.heartbeat,
        )
    except (OSError, ValueError, RuntimeError) as error:
        found = error if group or not isinstance(error, ValueError) else "no cluster is found here"
        raise UserError(f"--distributed: {found}: give --coordinator, --processes and --process") from error
    if not is_primary():
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # process 0 alone reports


def is_primary() -> bool:
    """Whether this is process 0, or the only one: the one that writes records."""
    import jax

    return jax.process_index() == 0


def barrier(what: str) -> None:
    """Waits until all processes have come here."""
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def all_max(number: int) -> int:
    """The largest of all processes' numbers. All must call it."""
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def check(stop: interrupts.Stop) -> None:
    """Raises Stopped, in all processes, once a signal has arrived at one of them. All must call it."""
    interrupts.check(stop.signal if stop is interrupts.NEVER else all_max(stop.signal))


def _given(config: Any) -> Group | None:
    """What the flags say."""
    if not config.coordinator:
        return None
    host, _, port = config.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"--coordinator={config.coordinator}: must be HOST:PORT")
    if not config.process < config.processes:
        raise UserError(f"--process={config.process}: must be less than --processes={config.processes}")
    return Group(config.coordinator, config.processes, config.process)


def _gather(group: Group, timeout: float) -> None:
    """Waits until every process has said its number to process 0, at the coordinator's own port.

    JAX would wait, too, but would not say for whom.
    """
    until = time.monotonic() + timeout
    host, _, port = group.coordinator.rpartition(":")
    answer = _report(host, int(port), group.process, until) if group.process else _receive(int(port), group, until)
    if answer != GO:
        raise Failure(f"after {timeout} s there is no {answer} of {group.processes} (--startup, --coordinator)")


def _receive(port: int, group: Group, until: float) -> str:
    came: dict[int, socket.socket] = {}
    missing = set(range(1, group.processes))
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise UserError(f"--coordinator={group.coordinator}: {error.strerror}") from error
    with server:
        while missing and time.monotonic() < until:
            server.settimeout(max(0.01, until - time.monotonic()))
            try:
                connection, _ = server.accept()
                connection.settimeout(1)
                number = int(connection.recv(16))
            except (OSError, ValueError):  # nobody in time, or somebody else
                continue
            came[number] = connection
            missing -= {number}
        answer = f"process {', '.join(map(str, sorted(missing)))}" if missing else GO
        for connection in came.values():
            with connection:
                connection.sendall(answer.encode())
    return answer


def _report(host: str, port: int, process: int, until: float) -> str:
    while time.monotonic() < until:
        try:
            with socket.create_connection((host, port), timeout=1) as connection:
                connection.sendall(str(process).encode())
                connection.settimeout(until + 5 - time.monotonic())  # process 0 gives up first, and says why
                if answer := connection.recv(4096).decode():
                    return answer
        except OSError:  # it is not there yet
            time.sleep(0.2)
    return "process 0"


def _supervise(command: str) -> None:
    """Forks: the child returns, the parent passes on signals and stderr, and leaves with the child's code."""
    (lines, write) = os.pipe()
    (life, alive) = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 2)
        for end in (lines, write, alive):
            os.close(end)
        threading.Thread(target=_end_with_parent, args=(life,), daemon=True).start()
        return
    for end in (write, life):
        os.close(end)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    fatal: list[str] = []
    for line in os.fdopen(lines, errors="replace"):
        if fatal or FATAL.match(line):
            fatal.append(line)
        else:
            print(line, end="", file=sys.stderr, flush=True)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if fatal:
        print(f"{command}: {_lost(' '.join(fatal))}", file=sys.stderr, flush=True)
        code = 1
    os._exit(128 - code if code < 0 else code)


def _end_with_parent(life: int) -> None:
    os.read(life, 1)  # returns when the parent is gone, however it went
    os._exit(1)


def _lost(text: str) -> str:
    """One line for what C++ said of a process that is lost."""
    if "RegisterTask" in text:
        return "a process did not start in time (--startup); the cluster's own log says which"
    numbers = sorted(set(map(int, re.findall(r"task:(\d+)", text))))
    who = f"process {', '.join(map(str, numbers))}" if numbers else "another process"
    return f"{who} died or does not answer; the same command on all goes on from the last checkpoint"
