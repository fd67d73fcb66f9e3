"""SIGTERM and SIGINT as a request that the loops poll, so that a run saves before it leaves."""

import contextlib
import signal

from resjax.errors import Stopped


class Stop:
    """`signal` is 0 until SIGTERM or SIGINT arrives, then its number."""

    signal: int = 0

    def check(self):
        """Raises Stopped once a signal has arrived."""
        check(self.signal)


def check(number: int):
    """Raises Stopped unless the number is 0, no signal."""
    if number:
        name = signal.Signals(number).name
        raise Stopped(f"stopped by {name}; the same command goes on from here", number)


NEVER = Stop()  # for a caller that handles signals in its own way


@contextlib.contextmanager
def caught():
    """Within this context the two signals set the yielded `Stop` and interrupt nothing."""
    stop = Stop()

    def handle(number, frame):
        stop.signal = number

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
