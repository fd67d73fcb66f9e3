"""`kill -9`, at random moments and as soon as something new is on disk: is anything lost?"""

import dataclasses
import pathlib
import random
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.torture.commands import Commands
from tests.torture.moments import phase, some_time
from tests.torture.verdicts import Tried, faults

LONGEST = 6  # kills of one run, before it is left in peace
TYPICAL = 15  # seconds that a run takes
UNCACHED = 0.2  # share of the runs that compile everything themselves, and keep it in their store


def tried(commands: Commands, times: int, draw: random.Random) -> Iterator[Tried]:
    """So many kills, or a few more: what the run was doing, and whether something was lost in the end."""
    reference = commands.reference()
    with ThreadPoolExecutor(commands.together) as pool:
        while times > 0:
            share = min(LONGEST, -(-times // commands.together))
            runs = [
                pool.submit(_run, commands, reference, share, draw.random() > UNCACHED, random.Random(draw.random()))
                for _ in range(commands.together)
            ]
            for rows in [run.result() for run in runs]:
                times -= len(rows)
                yield from rows


def _run(commands: Commands, reference: pathlib.Path, times: int, cached: bool, draw: random.Random) -> list[Tried]:
    """One run, killed up to so many times, started again each time, and at last left in peace."""
    workdir = commands.folder("killed")
    rows = []
    made = {}
    while len(rows) < times:
        process = commands.start(workdir, cached=cached)
        some_time(TYPICAL, workdir, process, draw)
        process.kill()
        if commands.end(process).code != -signal.SIGKILL:
            break  # it had finished
        rows.append(Tried("kill -9", phase(workdir, process)))
        made |= records(workdir)
    found = faults(commands.run(workdir, cached=cached), workdir, reference)
    return judged(rows, found, made, workdir)


def records(workdir: pathlib.Path) -> dict[pathlib.Path, bytes]:
    """The records of the networks that are trained, which hold times, too."""
    return {path: path.read_bytes() for path in workdir.glob("store/*/done.json")}


def judged(
    rows: list[Tried], found: dict[str, str], made: dict[pathlib.Path, bytes], workdir: pathlib.Path
) -> list[Tried]:
    """The rows of one run, the last of which has its faults; also that a network was trained twice."""
    again = [path for path, content in made.items() if path.read_bytes() != content]
    if again:
        found = {"lost": f"{again[0]} was made twice"} | {name: text for name, text in found.items() if text}
    if not any(found.values()):
        shutil.rmtree(workdir)
    elif rows:
        rows[-1] = dataclasses.replace(rows[-1], **found)
    else:
        rows.append(Tried("run", "undisturbed", **found))
    return rows
