"""How far a sweep is, over all its workers, read from its files: from any machine that sees them."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator

from etils import epath
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from launch import claims
from launch.directory import SweepDirectory
from launch.units import Unit
from resjax.system.errors import Failure
from resjax.system.files import in_bucket, read_json


def view(*sweeps: SweepDirectory) -> Group:
    """A bar, the counts, and a row for each unit that runs or has failed, over all directories of one sweep."""
    table = Table("unit", "worker", "since", "points", "now")
    ended = {unit: next(filter(None, (sweep.end(unit) for sweep in sweeps)), None) for unit in sweeps[0].units}
    done = sum(end is not None and end.code == 0 for end in ended.values())
    failed = running = 0
    for unit, end in ended.items():
        if end is None and (row := next(filter(None, (_running(sweep, unit) for sweep in sweeps)), None)):
            running += 1
            table.add_row(*row)
        elif end and end.code:
            failed += 1
            table.add_row(unit.name, "", "", "", f"failed: {end.line}", style="red")
    left = len(ended) - done - running - failed
    counts = f"{done} done, {running} running, {failed} failed, {left} left of {len(ended)} units"
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(len(ended), done, width=20), counts)
    return Group(bar, *([table] if table.row_count else []))


@contextlib.contextmanager
def live(sweep: SweepDirectory) -> Iterator[Callable[[], None]]:
    """Shows the view while the context lasts; what is yielded brings it up to date, with a line a unit that ended."""
    told = {unit for unit in sweep.units if sweep.end(unit)}
    with Live(view(sweep), auto_refresh=False, transient=True) as shown:

        def refresh():
            for unit in sweep.units:
                if unit not in told and (end := sweep.end(unit)):
                    told.add(unit)
                    result = f"failed: {end.line}" if end.code else f"done ({end.seconds:.1f} s)"
                    shown.console.print(f"{unit.name}: {result}", highlight=False, markup=False)
            shown.update(view(sweep), refresh=True)

        yield refresh


def _running(sweep: SweepDirectory, unit: Unit) -> tuple[str, ...] | None:
    """The row of a unit that a worker has. In a bucket nobody can be seen at work: there, of one that has begun."""
    workdir = sweep.workdir(unit)
    if in_bucket(workdir):
        return (unit.name, "?", "", *_points(workdir)) if (workdir / "config.json").exists() else None
    if worker := claims.holder(sweep.folder(unit) / "claim"):
        name = f"{worker.get('host')} {worker.get('pid')}"
        since = _clock(worker.get("since"))
        return unit.name, name, since, *_points(workdir)
    return None


def _points(workdir: epath.Path) -> tuple[str, str]:
    """How many points of a unit are done, and which one is trained, at which step."""
    folders = list(workdir.glob("points/*"))
    done = {folder for folder in folders if (folder / "done.json").exists()}
    now = max(set(folders) - done, key=_changed, default=None)
    return str(len(done)), _now(now) if now else ""


def _changed(folder: epath.Path) -> float:
    """When something was last put there; a folder of a bucket does not say it."""
    return 0.0 if in_bucket(folder) else os.stat(folder).st_mtime  # etils asks for the owner's name, which may be none


def _now(folder: epath.Path) -> str:
    """What a point is, and the last step that it wrote down; its folder's name if it has not begun."""
    try:
        point = read_json(folder / "config.json")
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return f"{folder.name} step {json.loads(lines[-1])['step']}/{point['steps']}"
    except (Failure, OSError, ValueError, KeyError, IndexError):
        return folder.name


def _clock(since: float | None) -> str:
    return time.strftime("%d %b %H:%M:%S", time.localtime(since)) if since else ""
