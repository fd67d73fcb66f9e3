"""One process at a time: a file that the kernel unlocks when its holder is gone, however it went."""

import fcntl
import os
import pathlib
import socket
import time

from resjax.system.errors import Failure


class Held(Failure):
    """Another process holds the lock."""


def take(path: pathlib.Path, what: str):
    """Locks a file, and returns it open: the lock lasts until it is closed.

    Where a file system has no locks (some buckets), nothing is locked.

    Raises:
      Held: another process has it; the message says of `what`, who, and since when.
    """
    file = open(path, "a+", errors="replace")  # noqa: SIM115 (open as long as it is locked)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        raise Held(f"{what} is in use by {file.read().strip() or 'another process'}: wait for it to end") from None
    except OSError:
        return file
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    file.flush()
    return file
