"""`kill -9`, at random moments and as soon as something new is on disk: is anything lost?"""

import pathlib
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.torture.commands import MOMENTS, Commands, differs, phase, sleep, wait_for

LONGEST = 6  # kills of one run, before it is left in peace
TYPICAL = 15  # seconds that a run takes
UNCACHED = 0.2  # share of the runs that compile everything themselves, and keep it in their work directory


def tried(commands: Commands, reference: pathlib.Path, times: int, draw: random.Random) -> Iterator[dict]:
    """A row for every kill, of so many or a few more: what the run was doing, and whether something was lost."""
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


def _run(commands: Commands, reference: pathlib.Path, times: int, cached: bool, draw: random.Random) -> list[dict]:
    """One run, killed up to so many times, started again each time, and at last left in peace."""
    workdir, rows, records = commands.folder("killed"), [], {}
    while len(rows) < times:
        process = commands.start(workdir, cached=cached)
        if draw.random() < 0.5:
            sleep(draw.uniform(0, TYPICAL), process)
        else:
            wait_for(draw.choice(list(MOMENTS)), workdir, process, draw)
        process.kill()
        if commands.end(process)[0] != -9:
            break  # it had finished
        rows.append({"what": "kill -9", "where": phase(workdir, process), "lost": 0})
        records |= {path: path.read_bytes() for path in workdir.glob("points/*/done.json")}
        commands.advance()
    code, err = commands.run(workdir, cached=cached)
    again = [path.parent.name for path, content in records.items() if path.read_bytes() != content]
    fault = f"exit code {code}: {err}" if code else differs(workdir, reference) or "".join(again)
    if fault and rows:
        rows[-1]["lost"] = 1
        commands.say(f"{workdir}, killed in {', '.join(row['where'] for row in rows)}: {fault}")
    else:
        shutil.rmtree(workdir)
    return rows
