"""Runs a module, and says what its main thread was at: `anatomy` starts it with OUT.json, the module and its flags.

A second thread looks every few milliseconds at the stack of the first. What counts is the first rule that one of its
frames fits, so that a program that is compiled for an evaluation is compilation.
"""

import collections
import json
import pathlib
import runpy
import sys
import threading
import time
from collections.abc import Iterator, Sequence

PAUSE = 0.005  # seconds between two looks
RULES = (  # part, and its files: how their paths end, and the function if not all
    ("imports", ("importlib._bootstrap>",)),
    ("compiling", ("jax/_src/compiler.py", "jax/_src/compilation_cache.py", "resjax/lab/ahead.py:ready")),
    ("tracing", ("jax/_src/interpreters/mlir.py", "jax/_src/interpreters/partial_eval.py")),
    ("figure", ("resjax/lab/canvas.py",)),
    ("records", ("resjax/training/checkpoint.py", "resjax/system/checksums.py", "resjax/training/metrics.py")),
    ("records", ("resjax/lab/store.py", "resjax/lab/workdir.py", "resjax/system/lock.py")),
    ("checks", ("resjax/lab/plan.py:plan",)),
    ("evaluation", ("resjax/training/evaluation.py",)),
    ("first weights", ("resjax/training/step.py:initialize", "resjax/lab/plan.py:start")),
    ("steps", ("resjax/training/loop.py",)),
)
REST = "rest"
PARTS = tuple(dict.fromkeys([*(part for part, _ in RULES), REST]))


def part_of(stack: Sequence[tuple[str, str]]) -> str:
    """The part that a stack belongs to: of its frames, (file, function)."""
    for part, places in RULES:
        for place in places:
            path, _, function = place.partition(":")
            if any(file.endswith(path) and function in ("", name) for file, name in stack):
                return part
    return REST


def frames(thread: int) -> Iterator[tuple[str, str]]:
    """(file, function) of the frames of a thread, the innermost first."""
    frame = sys._current_frames().get(thread)
    while frame:
        yield frame.f_code.co_filename, frame.f_code.co_name
        frame = frame.f_back


def sampled(module: str, arguments: Sequence[str]) -> dict[str, float]:
    """Runs a module in this process; the seconds of each part, which add up to its time."""
    seconds: collections.Counter[str] = collections.Counter()
    done = threading.Event()
    thread = threading.get_ident()

    def look() -> None:
        before = time.perf_counter()
        while not done.wait(PAUSE):
            part = part_of(list(frames(thread)))
            now = time.perf_counter()
            seconds[part] += now - before
            before = now
        seconds[REST] += time.perf_counter() - before  # since the last look

    looking = threading.Thread(target=look)
    looking.start()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        done.set()
        looking.join()
    return {part: seconds[part] for part in PARTS}


if __name__ == "__main__":
    out, module, *arguments = sys.argv[1:]
    pathlib.Path(out).write_text(json.dumps(sampled(module, arguments)))
