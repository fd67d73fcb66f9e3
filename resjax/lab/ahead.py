"""Programs compiled in the background while networks train: XLA compiles outside Python's lock, on another core."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from resjax.lab import plan
from resjax.lab.trial import Trial, program
from resjax.system import platform


class Ahead:
    """Compiles the programs of trials one after the other, in the order in which they are to train."""

    def __init__(self, trials: Iterable[Trial], trained: Callable[[Trial], object]):
        """Begins, unless there is no core to spare. What is `trained` when its turn comes is passed over."""

        def compile_ahead(trial: Trial) -> None:
            if not trained(trial):
                plan.compile_ahead(trial)

        self._thread = ThreadPoolExecutor(1)
        self._pending: dict[Trial, Future[None]] = {}
        for trial in trials if len(platform.cores()) > 1 else ():
            if program(trial) not in self._pending:
                self._pending[program(trial)] = self._thread.submit(compile_ahead, trial)

    def ready(self, trial: Trial) -> None:
        """Waits until a trial's program is compiled, if that has begun; else it is left to the caller."""
        pending = self._pending.pop(program(trial), None)
        if pending and not pending.cancel():
            pending.exception()  # only waits: what does not compile says so where it is trained

    def close(self) -> None:
        """Waits for what is being compiled, and begins no other."""
        self._thread.shutdown(cancel_futures=True)
