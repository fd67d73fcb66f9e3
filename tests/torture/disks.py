"""A disk that fills up, or that can no longer be written, in every phase."""

import contextlib
import os
import pathlib
import random
import subprocess
from collections.abc import Iterator

from tests.torture.commands import Commands, differs, wait_for

MOMENTS = "planned", "compiling", "saving", "stepping", "evaluating", "recording"
SIZE = 64 << 20  # bytes of the disk that is filled


def tried(commands: Commands, reference: pathlib.Path, times: int, draw: random.Random) -> Iterator[dict]:
    """A row for every fault: whether the run said so in one line, and went on when it was over."""
    for number in range(times):
        what, moment = list(FAULTS)[number % len(FAULTS)], MOMENTS[number // len(FAULTS) % len(MOMENTS)]
        disk = commands.folder("disk")
        disk.mkdir()
        with FAULTS[what](disk) as fault:
            if fault:
                begin, end = fault
                process = commands.start(disk / "run", cached=False, mortal=True)
                wait_for(moment, disk / "run", process, draw)
                begin()
                code, err = commands.end(process)
                end()
                clear = code == 1 and err.count("\n") == 1 and "Traceback" not in err and str(disk) in err
                again = commands.run(disk / "run")
                wrong = str(again) if again != (0, "") else differs(disk / "run", reference)
                if wrong or not clear:
                    commands.say(f"{what} while {moment}: exit code {code}: {err}, and then: {wrong or 'all well'}")
                yield {"what": what, "where": moment, "named": int(clear), "lost": int(bool(wrong) or not clear)}
            else:
                commands.say(f"{what}: not tried, this user may not mount a disk")
        commands.advance()


@contextlib.contextmanager
def _full(disk: pathlib.Path):
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
def _read_only(disk: pathlib.Path):
    """How to forbid writing to everything there, and to allow it again."""

    def allow(mode: int):
        for folder, _, files in os.walk(disk):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                os.chmod(path, mode)

    yield lambda: allow(0o555), lambda: allow(0o755)


FAULTS = {"disk full": _full, "disk read-only": _read_only}
