"""A command that is started a second and a third time while it runs: they share the work, and nothing is done twice."""

import random
import shutil
from collections.abc import Iterator

from tests.torture.commands import NETWORKS, Commands
from tests.torture.moments import wait_for
from tests.torture.verdicts import Tried, faults

MOMENTS = ("planned", "stepping", "recording")  # of the first process, when the others start


def tried(commands: Commands, times: int, draw: random.Random) -> Iterator[Tried]:
    """So many commands that are started three times: whether all ended well, with each network trained once."""
    reference = commands.reference()
    for number in range(times):
        moment = MOMENTS[number % len(MOMENTS)]
        workdir = commands.folder("seconds")
        first = commands.start(workdir)
        wait_for(moment, workdir, first, draw)
        processes = [first, commands.start(workdir), commands.start(workdir)]
        ended = [commands.end(process) for process in processes]
        worst = max(ended, key=lambda each: (each.code != 0, each.err != ""))
        found = faults(worst, workdir, reference)
        trained = sum(each.out.count(": train accuracy") for each in ended)
        if trained != NETWORKS and not any(found.values()):
            found = {"lost": f"{workdir}: {trained} networks were trained, not {NETWORKS}"}
        if not any(found.values()):
            shutil.rmtree(workdir)
        yield Tried("second and third run", moment, **found)
