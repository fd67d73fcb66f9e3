"""A session at the bench: points trained or measured one after the other, each once, with a progress bar."""

import contextlib
import time
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from resjax.lab import plan, trial
from resjax.lab.config import Point, Untrained
from resjax.lab.workdir import WorkDirectory
from resjax.system import distributed, interrupts
from resjax.training import compilation

console = Console()


class Session:
    """Trains and measures points in a work directory, each at most once."""

    def __init__(self, work: WorkDirectory, stop: interrupts.Stop, progress: Progress, task, background: Executor):
        self._work = work
        self._stop = stop
        self._progress = progress
        self._task = task
        self._background = background
        self._compiled = None

    def train(
        self,
        point: Point,
        goal: trial.Goal | None = None,
        share: float = 0.0,
        following: Point | None = None,
        keep: Container[int] = (),
    ) -> dict:
        """The point's result (see `trial.train`): from its record, its last checkpoint, or from scratch.

        `share` is how far the progress bar moves for it, in the units of the session's total;
        `following` is compiled in the background meanwhile; the checkpoints of the steps in `keep` stay.
        """
        distributed.check(self._stop)
        done = self._work.finished(point)
        if done is None:
            before = self._progress.tasks[self._task].completed
            self._progress.update(self._task, description=point.label)
            if self._compiled:
                self._compiled.result()
            if following and not self._work.finished(following):
                self._compiled = self._background.submit(plan.compile_ahead, following)
            done = trial.train(
                point,
                self._work.folder(point),
                self._stop,
                lambda steps: self._progress.advance(self._task, share * steps / point.steps),
                goal,
                keep,
            )
            self._work.finish(point, *done)
            self._progress.update(self._task, completed=before + share)
            self._progress.console.print(f"{point.label}: {_summary(*done)}", highlight=False)
        else:
            self.advance(share)
        return done[0]

    def measure(self, point: Untrained, measurement: Callable[[Any], dict], share: float = 1.0) -> dict:
        """`measurement(point)`, a dictionary for JSON: from its record, or measured now."""
        distributed.check(self._stop)
        done = self._work.finished(point)
        if done is None:
            self._progress.update(self._task, description=point.label)
            started = time.perf_counter()
            done = measurement(point), {"total_seconds": time.perf_counter() - started}
            self._work.finish(point, *done)
        self.advance(share)
        return done[0]

    def advance(self, share: float):
        """Moves the progress bar by part of the session's total."""
        self._progress.advance(self._task, share)


@contextlib.contextmanager
def session(work: WorkDirectory, total: float) -> Iterator[Session]:
    """A session with a progress bar of length `total`, in which SIGTERM and SIGINT save first."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    compilation.keep(work.compiled)
    with (
        interrupts.graceful_shutdown() as stop,
        ThreadPoolExecutor(1) as background,
        Progress(*columns, console=console, transient=True, speed_estimate_period=300) as progress,
    ):
        try:
            yield Session(work, stop, progress, progress.add_task("", total=total), background)
            distributed.check(stop)
        finally:
            stop.deferred = False  # what is left to wait for, a compilation in the background, is not worth it


def show(table: pd.DataFrame, title: str):
    """Prints a table on the terminal; numbers are rounded for reading, the csv has every digit."""
    printed = Table(title=title, min_width=len(title) + 4)
    for name in table.columns:
        printed.add_column(str(name), justify="right")
    for row in table.itertuples(index=False):
        printed.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    console.print(printed)


def _summary(result: dict, timing: dict) -> str:
    seconds = f"{timing['total_seconds']:.1f} s"
    diverged, train_accuracy, test_accuracy = (
        np.atleast_1d(np.array(result[name], float)) for name in ("diverged", "train_accuracy", "test_accuracy")
    )
    if np.isfinite(diverged).all():
        return f"diverged at step {np.max(diverged):.0f} ({seconds})"
    return f"train accuracy {np.nanmean(train_accuracy):.3f}, test {np.nanmean(test_accuracy):.3f} ({seconds})"
