"""SIGTERM and SIGINT as a request that the loops poll, so that a run saves before it leaves."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from resjax.system.errors import Stopped

STOPPING = signal.SIGTERM, signal.SIGINT
GRACE = 4  # seconds


class Stop:
    """`signal` is 0 until SIGTERM or SIGINT arrives, then its number."""

    signal: int = 0
    deferred: bool = False  # somebody looks soon, and has something to save

    def check(self) -> None:
        """Raises Stopped once a signal has arrived."""
        check(self.signal)


def check(number: int) -> None:
    """Raises Stopped unless the number is 0, no signal."""
    if number:
        name = signal.Signals(number).name
        raise Stopped(f"stopped by {name}; the same command goes on from here", number)


NEVER = Stop()  # for a caller that handles signals in its own way


@contextlib.contextmanager
def graceful_shutdown() -> Iterator[Stop]:
    """Within this context the two signals set the yielded `Stop` and interrupt nothing.

    Where nothing looks at it, in a long compilation or measurement, the process ends after `GRACE` seconds all the
    same: what is finished is on disk, and there is nothing to save.
    """
    stop = Stop()
    (watched, told) = os.pipe()
    os.set_blocking(told, False)

    def handle(number: int, frame: Any) -> None:
        stop.signal = number

    threading.Thread(target=_end_after_grace, args=(watched, stop), daemon=True).start()
    before = {number: signal.signal(number, handle) for number in STOPPING}
    signal.set_wakeup_fd(told)  # written to at once, also while Python waits for compiled code
    try:
        yield stop
    finally:
        stop.deferred = True  # for ever: it has been looked at
        signal.set_wakeup_fd(-1)
        os.close(told)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_after_grace(watched: int, stop: Stop) -> None:
    while number := os.read(watched, 1):
        if number[0] in STOPPING:
            time.sleep(GRACE)
            while stop.deferred:
                time.sleep(0.1)
            end(number[0], None)
    os.close(watched)


def end(number: int, frame: Any) -> None:
    """A handler of a signal: ends the process at once, in one line, for what need not be saved.

    No exception: one that is raised in somebody's callback, of the garbage collector above all, is swallowed there.
    """
    clear = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # a progress bar, which hides the cursor
    text = f"stopped by {signal.Signals(number).name}; the same command goes on from what is saved"
    os.write(2, f"{clear}{text}\n".encode())
    os._exit(128 + number)
