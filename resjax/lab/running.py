"""The loop over the networks of a study, which any number of processes may share."""

import dataclasses
from collections.abc import Sequence

from etils import epath

from resjax.lab import tuning, workers
from resjax.lab.ahead import Ahead
from resjax.lab.bench import Bench, Busy
from resjax.lab.config import ALL, Running
from resjax.lab.part import Part, Row, Studied
from resjax.lab.store import Store
from resjax.lab.trial import Trial, varied
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
    with interrupts.graceful_shutdown() as stop, view(sum(part.share for part in mine)) as shown:
        ahead = Ahead([] if study.timed else _programs(study, mine), store.result)
        bench = Bench(store, stop, shown, ahead, varied(part.trial for part in parts))
        try:
            rows = _rows(study, bench, mine)
            bench.check()
        finally:
            stop.deferred = False  # what is left to wait for, a compilation in the background, is not worth it
            ahead.close()
    if config.shard not in ("", ALL):
        shown.say(f"--shard={config.shard} is done: once all are, the command without --shard writes the tables")
    return [row for found in rows for row in found]


def _rows(study: Studied, bench: Bench, parts: Sequence[Part]) -> list[list[Row]]:
    """The rows of every part. One at which another process is at work comes later.

    The deepest networks train first: they take longest, and meanwhile the programs of all others are compiled.
    """
    found: dict[int, list[Row]] = {}
    pending = sorted(range(len(parts)), key=lambda at: -_depth(parts[at]))
    while pending:
        busy = []
        for at in pending:
            part = parts[at]
            try:
                found[at] = _at_best(study, bench, part) if study.tuned else _of(study, bench, part)
            except Busy:
                busy.append(at)
                continue
            except tuning.Dealt:
                found[at] = []
            bench.done(part.share)
        if busy == pending:
            bench.wait()
        pending = busy
    return [found[at] for at in range(len(parts))]


def _of(study: Studied, bench: Bench, part: Part) -> list[Row]:
    return [(table, part.key | row) for table, row in study.rows(bench, part.trial, part.config)]


def _at_best(study: Studied, bench: Bench, part: Part) -> list[Row]:
    """The rows of one part's trial at its best rate, and those of all rates (see `tuning.tuned`)."""
    tuned = tuning.tuned(bench, part.trial, part.config)
    rows = _of(study, bench, dataclasses.replace(part, trial=tuned.trial))
    judged = [(table, {"at_edge": tuned.at_edge} | row) for table, row in rows]
    return judged + [("rates", part.told(row)) for row in tuned.tried]


def _depth(part: Part) -> int:
    """Of a network that is to train; 0 of any other."""
    return part.trial.depth if isinstance(part.trial, Trial) else 0


def _programs(study: Studied, parts: Sequence[Part]) -> list[Trial]:
    """The networks that train, in their order, of each part those that the study names."""
    found: list[Trial] = []
    for part in sorted(parts, key=lambda part: -_depth(part)):
        if isinstance(part.first, Trial):
            found += study.programs(part.first, part.config) if study.programs else [part.first]
    return found
