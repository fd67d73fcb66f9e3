"""What a sweep leaves on disk, which is all that its workers know of each other.

    workdir/
      sweep.json          what was asked for
      units/NUMBER-FLAGS/
        claim             locked by the worker that has it (see claims)
        end.json          how the experiment ended
        stdout  stderr    of its last run
        run/              its work directory
      merged/             the whole, as one run would have left it (see collect)
      compiled/           programs that the units share
      worker-N.log        what local workers had to say
      slurm/              what submitit keeps

Records are written whole and then renamed. In a bucket, where nothing can be locked or appended to, are the records and
the work directories; claims, and what a run prints until it ends, are then on the worker's disk.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from etils import epath

from launch import claims
from launch.units import Sweep, Unit
from resjax.system.errors import Failure, UserError
from resjax.system.files import in_bucket, read_checked, write, write_checked

SHOWN = 5  # failed or missing units that a message names
OUTPUT = ("stdout", "stderr")


@dataclasses.dataclass(frozen=True)
class End:
    """How a unit ended."""

    code: int  # of the experiment: 0 if it is done
    line: str  # the last one of its stderr
    seconds: float


class SweepDirectory:
    """The folder of one sweep."""

    def __init__(self, path: epath.PathLike, sweep: Sweep, cpus: int):
        self.path = epath.Path(path)
        self.sweep = sweep
        self.cpus = cpus
        self.units = sweep.units()

    @classmethod
    def load(cls, path: epath.PathLike) -> "SweepDirectory":
        """The sweep of a folder.

        Raises:
          UserError: there is none. Failure: its record is damaged.
        """
        path = epath.Path(path)
        if not (path / "sweep.json").exists():
            raise UserError(f"--workdir={path}: there is no sweep")
        found = read_checked(path / "sweep.json")
        return cls(path, Sweep(tuple(found["command"]), found["over"], found["grid"]), found["asked"]["cpus"])

    @classmethod
    def open(cls, path: epath.PathLike, sweep: Sweep, cpus: int) -> "SweepDirectory":
        """Makes the folder of a sweep, or takes up one that has the same sweep in it.

        Args:
          path: the folder.
          sweep: what is asked for.
          cpus: the threads that a unit computes with; 0: those that the sweep began with, here the machine's.

        Raises:
          UserError: the folder is another sweep's, or not a sweep's, or cannot be written.
        """
        sweep.check()
        path = epath.Path(path)
        record = path / "sweep.json"
        foreign = path.exists() and (not path.is_dir() or any(map(_foreign, path.iterdir())))
        if foreign and not record.exists():  # asked last, for another shard may just have written it
            raise UserError(f"--workdir={path} is no sweep: give a new or empty directory")
        try:
            path.mkdir(parents=True, exist_ok=True)
            with _locked(path):  # shards may begin at the same moment
                found = read_checked(record)["asked"] if record.exists() else {}
                asked = sweep.asked() | {"cpus": cpus or found.get("cpus") or available_cpus()}
                if any(path.glob("units/*/run")):
                    _refuse_other(path, asked, found)
                elif found not in ({}, asked):  # nothing of that sweep has begun, so nothing is lost
                    (path / "units").rmtree(missing_ok=True)
                write_checked(record, dataclasses.asdict(sweep) | {"asked": asked})
        except OSError as error:
            raise UserError(f"--workdir={path} cannot be written: {error}") from error
        return cls(path, sweep, asked["cpus"])

    def folder(self, unit: Unit) -> epath.Path:
        """The folder of a unit."""
        return self.path / "units" / unit.name

    def workdir(self, unit: Unit) -> epath.Path:
        """The work directory of a unit's experiment."""
        return self.folder(unit) / "run"

    def here(self, unit: Unit) -> epath.Path:
        """Where this machine has a unit's claim and its output: the unit's folder, unless that is in a bucket."""
        if not in_bucket(self.path):
            return self.folder(unit)
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        return epath.Path(cache, "resjax", hashlib.sha256(str(self.path).encode()).hexdigest()[:8], unit.name)

    def command(self, flags: tuple[str, ...], workdir: epath.Path) -> list[str]:
        """The experiment's module and all its flags."""
        module, *arguments = self.sweep.command
        return [module, f"--compile_cache={self.path / 'compiled'}", *arguments, *flags, f"--workdir={workdir}"]

    def take(self, unit: Unit) -> claims.Claim | None:
        """Claims a unit; None if another worker has it, or it has ended."""
        claim = claims.take(self.here(unit) / "claim")
        if claim and self.end(unit):  # since the caller looked
            with claim:
                return None
        return claim

    def end(self, unit: Unit) -> End | None:
        """How a unit ended; None if it has not."""
        path = self.folder(unit) / "end.json"
        return End(**read_checked(path)) if path.exists() else None

    def finish(self, unit: Unit, end: End):
        """Records how a unit ended, and in a bucket what it printed."""
        if in_bucket(self.path):
            for name in OUTPUT:
                write(self.folder(unit) / name, (self.here(unit) / name).read_bytes())
        write_checked(self.folder(unit) / "end.json", dataclasses.asdict(end))

    def left(self, units: list[Unit]) -> list[Unit]:
        """Those that have not ended."""
        return [unit for unit in units if not self.end(unit)]

    def forget_failures(self, units: list[Unit]):
        """Has the units that failed tried again."""
        for unit in units:
            if (end := self.end(unit)) and end.code:
                (self.folder(unit) / "end.json").unlink(missing_ok=True)

    def check(self, units: list[Unit]):
        """Raises a UserError if the flags are wrong, and a Failure that names the units that failed."""
        failed = {unit.name: end for unit in units if (end := self.end(unit)) and end.code}
        for end in failed.values():
            if end.code == UserError.exit_code:
                raise UserError(end.line)
        if failed:
            lines = [f"{name}: {end.line}" for name, end in failed.items()]
            raise Failure(f"{named(lines, '; ')} ({len(failed)} of {len(units)} units failed: see {self.path}/units)")


def named(items: list[str], separator: str = ", ") -> str:
    """The first few of them."""
    return separator.join(items[:SHOWN]) + (" …" if len(items) > SHOWN else "")


def available_cpus() -> int:
    """The threads that JAX computes with in this process: `NPROC`, or the cores that it may run on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    given = os.environ.get("NPROC", "")
    return int(given) if given.isdigit() else cores


@contextlib.contextmanager
def _locked(path: epath.Path) -> Iterator[None]:
    """One process at a time, unless it is in a bucket."""
    if in_bucket(path):
        yield
        return
    with open(path / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _foreign(entry: epath.Path) -> bool:
    """Whether an entry of a directory is not of a sweep that was killed as it began."""
    return entry.suffix != ".tmp" and entry.name != "lock"


def _refuse_other(path: epath.Path, asked: dict[str, Any], found: dict[str, Any]):
    differ = [
        f"{name} is {found.get(name)!r} there and {asked.get(name)!r} here"
        for name in {**asked, **found}
        if found.get(name) != asked.get(name)
    ]
    if differ:
        raise UserError(f"--workdir={path} holds another sweep: {'; '.join(differ)}")
