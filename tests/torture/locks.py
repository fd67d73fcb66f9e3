"""Two runs on one work directory: the second says who is there, and leaves the first one alone."""

import pathlib
import random
import socket
from collections.abc import Iterator

from tests.torture.commands import Commands, differs, wait_for

MOMENTS = "planned", "stepping", "evaluating"  # of the first one, when the second one starts


def tried(commands: Commands, reference: pathlib.Path, times: int, draw: random.Random) -> Iterator[dict]:
    """A row for every second run on a work directory: whether it named the first, left, and left it alone."""
    for number in range(times):
        moment = MOMENTS[number % len(MOMENTS)]
        workdir = commands.folder("shared")
        first = commands.start(workdir)
        wait_for(moment, workdir, first, draw)
        code, err = commands.run(workdir)
        who = f"--workdir={workdir} is in use by process {first.pid} on {socket.gethostname()} since "
        named = code == 1 and who in err and err.count("\n") == 1
        ended = commands.end(first)
        wrong = str(ended if ended != (0, "") else differs(workdir, reference)) if named else f"{code}: {err}"
        if wrong:
            commands.say(f"two runs, the first one {moment}: {wrong}")
        yield {"what": "second run", "where": moment, "named": int(named), "lost": int(bool(wrong))}
        commands.advance()
