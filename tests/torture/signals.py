"""SIGTERM and SIGINT in every phase: the run leaves within seconds, in one line and with its code, and goes on."""

import pathlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

from tests.torture.commands import Commands
from tests.torture.moments import MOMENTS, phase, sleep, wait_for
from tests.torture.verdicts import Tried, faults

SECONDS = 5.0  # in which a run must have saved and left
LAST = 2.0  # a run that ends sooner, and well, had nothing left to do
SENT = signal.SIGTERM, signal.SIGINT
MEASURING = ("signal_propagation", "--depths=100,300,1000", "--norms=batch", "--connections=residual")


def tried(commands: Commands, times: int, draw: random.Random) -> Iterator[Tried]:
    """So many signals: what the run was doing, the seconds until it left, and whether all was as it should be."""
    workdir = commands.folder("stopped")
    measured = commands.folder("measured")
    moments = ["anything", "measuring", *MOMENTS]
    done = 0
    while done < times:
        sent = SENT[done % 2]
        moment = moments[done // 2 % len(moments)]
        if moment == "measuring":
            process = commands.start(measured, command=MEASURING, cached=False)
            wait_for("planned", measured, process, draw)
            sleep(draw.uniform(0, 10), process)
            where = moment
        else:
            process = commands.start(workdir)
            if moment == "anything":
                sleep(draw.uniform(0, 4), process)
            else:
                wait_for(moment, workdir, process, draw)
            where = phase(workdir, process)
        if process.poll() is None:
            yield _stopped(commands, process, sent, where)
            done += 1
        elif process.returncode:
            ended = commands.end(process)
            yield Tried("run", where, lost=f"not stopped, but ended with exit code {ended.code}: {ended.err}")
            done += 1
        if process.poll() == 0:  # there is nothing left to stop
            commands.end(process)
            shutil.rmtree(measured, ignore_errors=True)
            yield from _compared(commands, workdir)
    yield from _compared(commands, workdir)


def _stopped(commands: Commands, process: subprocess.Popen, sent: int, where: str) -> Tried:
    """Sends a signal and waits for the end of a run."""
    since = time.monotonic()
    process.send_signal(sent)
    ended = commands.end(process)
    seconds = time.monotonic() - since
    name = signal.Signals(sent).name
    if ended.code == 0 and seconds < LAST:
        where = "after the end"
    elif where == "starting" and (ended.code == -sent or "init_import_site" in ended.err):
        where = "Python's own start"  # before a line of this project has run
    elif ended.code != 128 + sent or ended.err.count("\n") != 1 or seconds > SECONDS:
        fault = f"exit code {ended.code} after {seconds:.1f} s: {ended.err}"
        return Tried(name, where, lost=fault, seconds=seconds)
    return Tried(name, where, seconds=seconds)


def _compared(commands: Commands, workdir: pathlib.Path) -> Iterator[Tried]:
    """Ends a run that was stopped, compares it with the undisturbed one, and clears its place."""
    if workdir.exists():
        found = faults(commands.run(workdir), workdir, commands.reference())
        if any(found.values()):
            workdir.rename(commands.folder("kept"))
        else:
            shutil.rmtree(workdir)
        yield Tried("stopped run", "at its end", **found)
