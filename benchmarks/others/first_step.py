"""The first step of `torch.compile`, in a process of its own: from nothing, and stopped at a limit."""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable


def seconds(limit: float, step: Callable[..., Callable[[], None]], *sizes: int) -> float | None:
    """Seconds to the end of the first step: of making the network, compiling it and running it. None if they are more.

    What was compiled before is not found again, but the compiler itself has been loaded, as ours has.

    Args:
      limit: seconds after which the process is stopped, and all that it has started.
      step: a function of `pytorch` that takes these sizes and a `How`.

    Raises:
      ModuleNotFoundError: PyTorch is not installed.
      ChildProcessError: it does not compile here.
    """
    import torch  # noqa: F401  # an extra: said here, not by the other process

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_measure, args=(theirs, folder, step, sizes))
        process.start()
        theirs.close()
        try:
            ours.recv()  # it is about to start
            if not ours.poll(limit):
                return None
            found = ours.recv()
            process.join()
            return found
        except EOFError:
            raise ChildProcessError("torch.compile found no end, see above") from None
        finally:
            _end(process)


def _measure(pipe, folder: str, step: Callable, sizes: tuple[int, ...]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # which gives back what Python has from the system
    os.setpgrp()  # so that the compilers that this process starts are stopped with it
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    import torch

    from benchmarks.others import pytorch

    how = pytorch.How(compiled=True)
    pytorch.training(torch.nn.Linear(1, 2), torch.ones(1, 1), torch.zeros(1, dtype=torch.long), how)
    pipe.send(None)
    started = time.perf_counter()
    step(*sizes, how)
    pipe.send(time.perf_counter() - started)


def _end(process) -> None:
    process.terminate()
    process.join(10)  # seconds
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended by itself, or never came to be a group
        process.kill()
    process.join()
