"""One process at a time: a file that the kernel unlocks when its holder is gone, however it went."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator

from etils import epath

from resjax.system.errors import Failure
from resjax.system.files import in_bucket

PAUSE = 0.1  # seconds


class Held(Failure):
    """Another process holds the lock."""


@contextlib.contextmanager
def alone(path: epath.Path) -> Iterator[None]:
    """Within this context no other process has the lock of this file. A bucket has no locks, nor have some disks.

    Not to be taken twice by one process, for the kernel tells processes apart and not their threads.

    Raises:
      Held: another process has it; the message says who, and since when.
    """
    if in_bucket(path):
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", errors="replace") as file:  # closing it unlocks
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise Held(f"{path.parent} is in use by {file.read().strip() or 'another process'}") from None
        except OSError:
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield


@contextlib.contextmanager
def alone_in_turn(path: epath.Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """As `alone`, after a wait for the others, in which `waiting` is called again and again."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(alone(path))
                break
            except Held:
                waiting()
                time.sleep(PAUSE)
        yield
