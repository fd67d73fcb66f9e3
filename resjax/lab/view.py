"""What a command shows while it works: two progress bars, a line a network, a table at the end."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

console = Console()


class View:
    """The whole experiment's bar, and the one of the network that is trained or measured."""

    def __init__(self, progress: Progress, total: float):
        self._progress = progress
        self._whole = progress.add_task("", total=total)
        self._own = progress.add_task("", total=1, visible=False)

    def begin(self, label: str, steps: int = 1) -> None:
        """Shows what is worked at."""
        self._progress.reset(self._own, description=label, total=steps, visible=True)

    def advance(self, steps: int) -> None:
        """Moves the network's bar."""
        self._progress.advance(self._own, steps)

    def done(self, share: float) -> None:
        """Moves the experiment's bar."""
        self._progress.update(self._own, visible=False)
        self._progress.advance(self._whole, share)

    def say(self, text: str) -> None:
        """Prints a line above the bars."""
        self._progress.console.print(text, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def view(total: float) -> Iterator[View]:
    """The bars, the first of this length, until the end of the context."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=300) as progress:
        yield View(progress, total)


def summary(result: dict[str, Any]) -> str:
    """A line on the result of a network, or of several together."""
    seconds = f"{result['total_seconds']:.1f} s"
    measures = ("train_accuracy", "train_loss", "test_accuracy", "test_loss")
    diverged, *found = (np.atleast_1d(np.array(result[name], float)) for name in ("diverged", *measures))
    if np.isfinite(diverged).all():
        return f"diverged at step {np.max(diverged):.0f} ({seconds})"
    accuracy, loss, test_accuracy, test_loss = map(np.nanmean, found)
    return f"train accuracy {accuracy:.3f}, loss {loss:.3g}; test {test_accuracy:.3f}, {test_loss:.3g} ({seconds})"


def show(table: pd.DataFrame, title: str) -> None:
    """Prints a table on the terminal; numbers are rounded for reading, the csv has every digit."""
    printed = Table(title=title, min_width=len(title) + 4)
    for name in table.columns:
        printed.add_column(str(name), justify="right")
    for row in table.itertuples(index=False):
        printed.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    console.print(printed)
