"""SIGTERM and SIGINT in every phase: the run leaves within seconds, in one line and with its code, and goes on."""

import pathlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

from tests.torture.commands import MOMENTS, Commands, differs, phase, sleep, wait_for

SECONDS = 5.0  # in which a run must have saved and left
LAST = 2.0  # a run that ends sooner, and well, had nothing left to do
SENT = signal.SIGTERM, signal.SIGINT
MEASURING = ("experiments.signal_propagation", "--depths=100,300,1000", "--norms=batch", "--connections=residual")


def tried(commands: Commands, reference: pathlib.Path, times: int, draw: random.Random) -> Iterator[dict]:
    """A row for every signal: what the run was doing, the seconds until it left, and whether all was as it should."""
    workdir, measured = commands.folder("stopped"), commands.folder("measured")
    moments = ["anything", "measuring", *MOMENTS]
    done = 0
    while done < times:
        sent, moment = SENT[done % 2], moments[done // 2 % len(moments)]
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
            commands.advance()
        elif code := process.returncode:
            commands.say(f"not stopped, but ended with exit code {code}: {commands.end(process)[1]}")
            yield {"what": "run", "where": where, "lost": 1}
            done += 1
        if process.poll() == 0:  # there is nothing left to stop
            commands.end(process)
            shutil.rmtree(measured, ignore_errors=True)
            yield from _compare(commands, workdir, reference)
    yield from _compare(commands, workdir, reference)


def _stopped(commands: Commands, process: subprocess.Popen, sent: int, where: str) -> dict:
    """Sends a signal and waits for the end of a run."""
    since = time.monotonic()
    process.send_signal(sent)
    code, err = commands.end(process)
    seconds, name = time.monotonic() - since, signal.Signals(sent).name
    if code == 0 and seconds < LAST:
        where = "after the end"
    elif where == "starting" and (code == -sent or "init_import_site" in err):
        where = "Python's own start"  # before a line of this project has run
    elif code != 128 + sent or err.count("\n") != 1 or seconds > SECONDS:
        commands.say(f"{name} while {where}: exit code {code} after {seconds:.1f} s: {err}")
        return {"what": name, "where": where, "lost": 1, "seconds": seconds}
    return {"what": name, "where": where, "lost": 0, "seconds": seconds}


def _compare(commands: Commands, workdir: pathlib.Path, reference: pathlib.Path) -> Iterator[dict]:
    """Ends a run that was stopped, compares it with the undisturbed one, and clears its place."""
    if workdir.exists():
        code, err = commands.run(workdir)
        fault = err if code else differs(workdir, reference)
        if fault:
            commands.say(f"{workdir}, stopped by signals: {fault}")
            workdir.rename(commands.folder("stopped"))
        else:
            shutil.rmtree(workdir)
        yield {"what": "stopped run", "where": "at its end", "lost": int(bool(fault))}
