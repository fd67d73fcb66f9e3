"""The loop over the networks of a study, which any number of processes may share."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from etils import epath

from resjax.lab import workers
from resjax.lab.bench import Bench, Busy
from resjax.lab.config import ALL, Running
from resjax.lab.part import Part, Row
from resjax.lab.store import Store
from resjax.lab.view import view
from resjax.system import interrupts
from resjax.training import compilation


def run(
    measure: Callable[[Bench, Any, Any], Iterable[Row]],
    parts: Sequence[Part],
    config: Running,
    command: Sequence[str],
    store: Store,
    compiled: epath.Path,
    timed: bool = False,
) -> list[Row]:
    """The rows of all parts, in their order, whichever process was at work on each.

    Args:
      measure: trains and measures one part's trial, with a bench; its rows.
      parts: what there is to do.
      config: of the study.
      command: what Python is given to run the study, for further processes of it.
      store: where networks are.
      compiled: where compiled programs are kept.
      timed: nothing compiles beside training.

    Raises:
      Stopped: a signal has come.
    """
    mine = parts[config.dealt()]
    if config.workers > 1:
        workers.run(command, config)  # what they leave undone is done here
    compilation.keep(compiled)
    with (
        interrupts.graceful_shutdown() as stop,
        ThreadPoolExecutor(1) as background,
        view(sum(part.share for part in mine)) as shown,
    ):
        bench = Bench(store, stop, shown, background)
        try:
            rows = _rows(measure, bench, mine, timed)
            bench.check()
        finally:
            stop.deferred = False  # what is left to wait for, a compilation in the background, is not worth it
    if config.shard not in ("", ALL):
        shown.say(f"--shard={config.shard} is done: once all are, the command without --shard writes the tables")
    return [row for found in rows for row in found]


def _rows(
    measure: Callable[[Bench, Any, Any], Iterable[Row]], bench: Bench, parts: Sequence[Part], timed: bool
) -> list[list[Row]]:
    """The rows of every part. One at which another process is at work comes later."""
    found: dict[int, list[Row]] = {}
    pending = list(range(len(parts)))
    while pending:
        busy = []
        for at, after in zip(pending, [*pending[1:], None], strict=True):
            part = parts[at]
            bench.following = None if timed or after is None else parts[after].trial
            try:
                rows = list(measure(bench, part.trial, part.config))
            except Busy:
                busy.append(at)
            else:
                found[at] = [(table, part.key | row) for table, row in rows]
                bench.done(part.share)
        if busy == pending:
            bench.wait()
        pending = busy
    return [found[at] for at in range(len(parts))]
