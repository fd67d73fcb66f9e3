"""Who runs what: a unit is its worker's for as long as the worker holds the lock on the unit's file `claim`.

The kernel frees the lock when the last process that has the file open ends, in whatever way: no claim outlives its
worker, and nobody has to guess from a time whether a worker is still alive. The experiment inherits the open file, so
that its unit is taken while it runs, even if its worker was killed. `flock` reaches over NFS, and over Lustre if that
is mounted with `flock`.
"""

import fcntl
import json
import os
import socket
import time
from typing import Any, TextIO

from etils import epath

from resjax.system.errors import Failure


class Claim:
    """A unit that is this process's, until the context ends."""

    def __init__(self, file: TextIO):
        self.file = file
        self.attempt = 1 + _read(file).get("attempt", 0)  # those before this one ended without giving their claim back
        self.died = False  # set it, and this attempt counts
        self._write({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time(), "attempt": self.attempt})

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if not self.died:
            self._write({})
        self.file.close()

    def _write(self, holder: dict[str, Any]):
        self.file.seek(0)
        self.file.truncate()
        self.file.write(json.dumps(holder))
        self.file.flush()


def take(path: epath.Path) -> Claim | None:
    """Claims `path`; None if another process has it.

    Raises:
      Failure: the file system has no locks. OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+")  # noqa: SIM115, the lock lasts as long as the file is open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        where = "give a --workdir on a file system that has locks"
        raise Failure(f"{path} cannot be locked ({error.strerror}): {where}") from error
    return Claim(file)


def holder(path: epath.Path) -> dict[str, Any] | None:
    """Who has claimed `path` (host, pid, since in seconds of the epoch, attempt); None if nobody has."""
    if not path.exists():
        return None
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for an instant; a worker that is kept out looks again
            return None
        except BlockingIOError:
            return _read(file)


def _read(file: TextIO) -> dict[str, Any]:
    """What stands there; nothing if it was torn."""
    file.seek(0)
    try:
        return json.loads(file.read() or "{}")
    except ValueError:
        return {}
