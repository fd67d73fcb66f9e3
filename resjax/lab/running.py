"""The loop over the networks of a study, which any number of processes may share."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from etils import epath

from resjax.lab import tuning, workers
from resjax.lab.bench import Bench, Busy
from resjax.lab.config import ALL, Running
from resjax.lab.part import Part, Row, Studied
from resjax.lab.store import Store
from resjax.lab.trial import Variant, program
from resjax.lab.view import view
from resjax.system import interrupts
from resjax.training import compilation


def run(study: Studied, parts: Sequence[Part], config: Running, store: Store, compiled: epath.Path) -> list[Row]:
    """The rows of all parts, in their order, whichever process was at work on each.

    Args:
      study: what trains and measures one part's trial.
      parts: what there is to do.
      config: of the study.
      store: where networks are.
      compiled: where compiled programs are kept.

    Raises:
      Stopped: a signal has come.
    """
    mine = parts[config.dealt()]
    if config.workers > 1:
        workers.run(study.command, config)  # what they leave undone is done here
    compilation.keep(compiled)
    with (
        interrupts.graceful_shutdown() as stop,
        ThreadPoolExecutor(1) as background,
        view(sum(part.share for part in mine)) as shown,
    ):
        bench = Bench(store, stop, shown, background)
        try:
            rows = _rows(study, bench, mine)
            bench.check()
        finally:
            stop.deferred = False  # what is left to wait for, a compilation in the background, is not worth it
    if config.shard not in ("", ALL):
        shown.say(f"--shard={config.shard} is done: once all are, the command without --shard writes the tables")
    return [row for found in rows for row in found]


def _rows(study: Studied, bench: Bench, parts: Sequence[Part]) -> list[list[Row]]:
    """The rows of every part. One at which another process is at work comes later."""
    found: dict[int, list[Row]] = {}
    pending = list(range(len(parts)))
    while pending:
        busy = []
        for place, at in enumerate(pending):
            part = parts[at]
            later = [parts[other] for other in pending[place + 1 :]]
            bench.following = None if study.timed else _following(part, later)
            try:
                found[at] = _at_best(study, bench, part) if study.tuned else _of(study, bench, part)
            except Busy:
                busy.append(at)
            else:
                bench.done(part.share)
        if busy == pending:
            bench.wait()
        pending = busy
    return [found[at] for at in range(len(parts))]


def _of(study: Studied, bench: Bench, part: Part) -> list[Row]:
    return [(table, part.key | row) for table, row in study.rows(bench, part.trial, part.config)]


def _at_best(study: Studied, bench: Bench, part: Part) -> list[Row]:
    """The rows of one part's trial at its best rate, and those of all rates (see `tuning.tuned`).

    A shard only trains: which rate is the best, other shards know, too.
    """
    if part.config.shard not in ("", ALL) and len(part.config.rates) > 1:
        bench.train_all(dataclasses.replace(part.trial, learning_rate=rate) for rate in part.config.rates)
        return []
    tuned = tuning.tuned(bench, part.trial, part.config)
    rows = _of(study, bench, dataclasses.replace(part, trial=tuned.trial))
    judged = [(table, {"at_edge": tuned.at_edge} | row) for table, row in rows]
    return judged + [("rates", part.swept | row) for row in tuned.tried]


def _following(part: Part, later: Sequence[Part]) -> Variant | None:
    """The next trial that runs another program, to be compiled meanwhile."""
    own = program(part.trial)
    return next((other.first for other in later if program(other.trial) != own), None)
