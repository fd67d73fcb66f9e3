"""A disk that fills up, or that can no longer be written, in every phase."""

import contextlib
import os
import pathlib
import random
import subprocess
from collections.abc import Callable, Iterator

from tests.torture.commands import Commands
from tests.torture.moments import wait_for
from tests.torture.verdicts import Tried, faults

MOMENTS = "planned", "compiling", "saving", "stepping", "evaluating", "recording"
SIZE = 64 << 20  # bytes of the disk that is filled
Fault = tuple[Callable[[], None], Callable[[], None]]  # how it begins, and how it ends


def tried(commands: Commands, times: int, draw: random.Random) -> Iterator[Tried]:
    """So many faults: whether the run said so in one line, and went on when it was over."""
    for number in range(times):
        what = list(FAULTS)[number % len(FAULTS)]
        moment = MOMENTS[number // len(FAULTS) % len(MOMENTS)]
        disk = commands.folder("disk")
        disk.mkdir()
        with FAULTS[what](disk) as fault:
            if fault:
                yield _tried(commands, disk, what, moment, fault, draw)
            else:
                yield Tried(what, "not tried: this user may not mount a disk")


def _tried(commands: Commands, disk: pathlib.Path, what: str, moment: str, fault: Fault, draw: random.Random) -> Tried:
    begin, end = fault
    process = commands.start(disk / "run", cached=False, mortal=True)
    wait_for(moment, disk / "run", process, draw)
    begin()
    ended = commands.end(process)
    end()
    one_line = ended.err.count("\n") == 1 and "Traceback" not in ended.err and str(disk) in ended.err
    clear = one_line and ended.code in (1, 2)  # 2: the work directory could not be written from the start
    found = faults(commands.run(disk / "run"), disk / "run", commands.reference())
    if not clear:
        found = {"lost": f"exit code {ended.code}: {ended.err}, and then: {found}"}
    return Tried(what, moment, named=clear, **found)


@contextlib.contextmanager
def _full(disk: pathlib.Path) -> Iterator[Fault | None]:
    """A small disk of its own, and how to fill it and to make room again."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    filler = disk / "filler"

    def fill():
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    try:
        yield fill, filler.unlink
    finally:
        subprocess.run(["umount", disk], check=True)


@contextlib.contextmanager
def _read_only(disk: pathlib.Path) -> Iterator[Fault]:
    """How to forbid writing to everything there, and to allow it again."""

    def allow(mode: int):
        for folder, _, files in os.walk(disk):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                os.chmod(path, mode)

    yield lambda: allow(0o555), lambda: allow(0o755)


FAULTS = {"disk full": _full, "disk read-only": _read_only}
