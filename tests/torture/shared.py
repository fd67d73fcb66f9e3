"""`kill -9` among three processes of one command, which share its networks: the others go on, and nothing is lost."""

import random
import signal
from collections.abc import Iterator

from tests.torture.commands import Commands
from tests.torture.kills import judged, records
from tests.torture.moments import phase, some_time
from tests.torture.verdicts import Tried, faults

PROCESSES = 3
LONGEST = 7  # kills of one run, before it is left in peace
TYPICAL = 10  # seconds between kills, at most
NETWORKS = "--depths=4,6,8,10"
IDLE = ("starting", "recording", "figures")  # phases of a process that trains nothing


def tried(commands: Commands, times: int, draw: random.Random) -> Iterator[Tried]:
    """So many kills: what the process was doing, and whether something was lost in the end."""
    while times > 0:
        rows = _run(commands, min(times, LONGEST), draw)
        times -= len(rows)
        yield from rows


def _run(commands: Commands, times: int, draw: random.Random) -> list[Tried]:
    """One run, in which up to so many processes are killed, and others started for them."""
    reference = commands.reference(NETWORKS)
    workdir = commands.folder("shared")
    processes = [commands.start(workdir, NETWORKS) for _ in range(PROCESSES)]
    rows = []
    made = {}
    while len(rows) < times:
        some_time(TYPICAL, workdir, draw.choice(processes), draw)
        at_work = [process for process in processes if phase(workdir, process) not in IDLE]
        victim = draw.choice(at_work or processes)
        victim.kill()
        if victim.wait() != -signal.SIGKILL:
            break  # it had finished
        processes.remove(victim)
        commands.end(victim)
        rows.append(Tried("kill -9 of one of three", phase(workdir, victim)))
        made |= records(workdir)
        processes.append(commands.start(workdir, NETWORKS))
    ended = [commands.end(process) for process in processes]
    worst = max(ended, key=lambda each: (each.code != 0, each.err != ""))
    return judged(rows, faults(worst, workdir, reference), made, workdir)
