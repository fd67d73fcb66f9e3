"""What a run is doing, as far as its work directory shows it, and when it begins to do something else."""

import contextlib
import pathlib
import random
import re
import subprocess
import time

from tests.torture.commands import STEPS

POLL = 0.003  # seconds between looks at a work directory
LATER = 0.05  # seconds at most, after something new is there
LOGGED = 20  # steps between the lines of metrics.jsonl
MOMENTS = {  # what appears in a work directory at the beginning of a phase
    "planned": "config.json",
    "compiling": "store/*/metrics.jsonl",
    "saving": "store/*/checkpoints/*",
    "stepping": "store/*/checkpoints/50",
    "evaluating": f"store/*/checkpoints/{STEPS}",
    "recording": "store/*/done.json",
    "tables": "results.csv",
    "figures": "figure.png",
}


def wait_for(moment: str, workdir: pathlib.Path, process: subprocess.Popen, draw: random.Random) -> None:
    """Returns as something new of that moment appears, or a little later, or when the process has ended."""
    before = _seen(workdir, MOMENTS[moment])
    while process.poll() is None:
        if _seen(workdir, MOMENTS[moment]) - before:
            sleep(draw.uniform(0, LATER), process)
            return
        time.sleep(POLL)


def some_time(longest: float, workdir: pathlib.Path, process: subprocess.Popen, draw: random.Random) -> None:
    """Waits as `wait_for` for some moment, or as often for any number of seconds."""
    if draw.random() < 0.5:
        sleep(draw.uniform(0, longest), process)
    else:
        wait_for(draw.choice(list(MOMENTS)), workdir, process, draw)


def sleep(seconds: float, process: subprocess.Popen) -> None:
    """Sleeps, but no longer than a process runs."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def phase(workdir: pathlib.Path, process: subprocess.Popen) -> str:
    """What a process was doing when it ended. One that nothing shows was starting, or waiting for others."""
    locks = [path for path in workdir.glob("**/lock") if f"process {process.pid} " in _text(path)]
    for path in locks:
        if path.parent != workdir and not (path.parent / "done.json").exists():
            return _phase_of_training(path)
    if not locks:
        return "starting"
    return "figures" if (workdir / "results.csv").exists() else "recording"


def _phase_of_training(lock: pathlib.Path) -> str:
    folder = lock.parent
    started = lock.stat().st_mtime
    saved = set(map(int, re.findall(r"  checkpoints/(\d+)/", _text(folder / "SHA256SUMS"))))
    folders = list(folder.glob("checkpoints/*"))
    if any(path.name not in map(str, saved) for path in folders):
        return "saving"
    if STEPS in saved:
        return "evaluating"
    metrics = folder / "metrics.jsonl"
    opened = metrics.exists() and metrics.stat().st_mtime >= started
    steps = LOGGED * _text(metrics).count("\n") if opened else 0
    stepped = steps > max(saved, default=0) or any(path.stat().st_mtime > started for path in folders)
    return "stepping" if stepped else "compiling"


def _text(path: pathlib.Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _seen(workdir: pathlib.Path, pattern: str) -> set[tuple[pathlib.Path, int]]:
    found = set()
    for path in workdir.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            found.add((path, path.stat().st_ino))
    return found
