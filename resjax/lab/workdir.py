"""What a run leaves on disk: one folder an experiment, one folder a point, tables written from them.

    workdir/
      config.json   env.json             what was asked for, and on what it ran
      lock          compiled/            who is at work here; compiled programs, for the next start
      points/NAME/  config.json metrics.jsonl checkpoints/ manifests/ done.json
      results.csv   timings.csv …        what the points say, and how long they took
      tables.json                        the tables' checksums
      figure.png    figure.pdf …         drawn from the tables alone

Records are written whole and then renamed, so a killed run leaves no half-written one; `metrics.jsonl`
grows line by line, and a torn last line is dropped when the run is taken up again. What a result is made of
carries a checksum, so a flipped bit is named and never used. Of several processes the first one alone writes.
"""

import dataclasses
import io
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
from importlib import metadata
from typing import Any

import pandas as pd
from etils import epath

from resjax.lab import config as config_lib
from resjax.system import distributed, lock
from resjax.system.errors import Failure, UserError
from resjax.system.files import in_bucket, place, read_checked, read_json, sha256, write, write_checked

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy", "scikit-learn")
READABLE = 150  # characters of a folder's name, which may have 255

Tables = dict[str, dict[str, str]]  # file name -> column -> pandas dtype


class WorkDirectory:
    """The folder of one run of one experiment."""

    def __init__(self, path: epath.Path, tables: Tables, compiled: epath.Path | None = None):
        self.path = path
        self.compiled = compiled or path / "compiled"
        self._tables = tables

    @classmethod
    def open(cls, experiment: str, config, tables: Tables) -> "WorkDirectory":
        """Makes the work directory, or takes up one that has the same configuration in it.

        Args:
          experiment: its name, part of the default path.
          config: its configuration, a `config.Running`.
          tables: the columns and pandas dtypes of each csv file.

        Raises:
          UserError: the path is a file or cannot be written, or belongs to something else.
          Failure: its records are damaged, or another process is at work there.
        """
        path = place(config.workdir or f"runs/{experiment}-{config_lib.digest(config)}")
        compiled = place(config.compile_cache) if config.compile_cache else None
        work = cls(path, tables, compiled)
        wanted = {"experiment": experiment} | config_lib.relevant(config)
        if not distributed.is_primary():
            distributed.barrier("work directory")  # the first process makes it
        if path.is_dir() and (path / "config.json").exists():
            # a run from before an option was there had what is now its default; but its points have other names
            _refuse_other(path, wanted, config_lib.relevant(type(config)()) if config.plot_only else {})
        elif config.plot_only:
            raise UserError(f"--plot_only: there is no run in {path}")
        elif path.exists() and (not path.is_dir() or any(map(_foreign, path.iterdir()))):
            kind = "holds other files" if path.is_dir() else "is a file"
            raise UserError(f"--workdir={path} {kind}: give a new or empty directory")
        for name in tables:
            if (path / f"{name}.csv").exists():
                work._parse(name)  # a damaged one is named before anything is done
        if distributed.is_primary():
            work._take(wanted, config.plot_only)
            distributed.barrier("work directory")
        return work

    def _take(self, wanted: dict[str, Any], plot_only: bool):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not plot_only and not in_bucket(self.path):
                self._lock = lock.take(self.path / "lock", f"--workdir={self.path}")  # held as long as this object
            if not (self.path / "config.json").exists():
                write(self.path / "config.json", json.dumps(wanted, indent=1))
            self._write_environment()
        except lock.Held:
            raise
        except (OSError, Failure) as error:
            raise UserError(f"--workdir={self.path} cannot be written: {error}") from error

    def folder(self, point: config_lib.Point) -> epath.Path:
        """The folder of one point."""
        name = f"{point.connection}-{point.norm}-{point.depth}-{point.seed}"
        readable = re.sub(r"[^\w.=-]+", "_", name, flags=re.ASCII)[:READABLE]
        return self.path / "points" / f"{readable}-{config_lib.digest(point)}"

    def finished(self, point: config_lib.Point) -> tuple[dict, dict] | None:
        """(result, timing) of a finished point, or None.

        Raises:
          Failure: its record does not match its checksum.
        """
        path = self.folder(point) / "done.json"
        if not path.exists():
            return None
        done = read_checked(path)
        return done["result"], done["timing"]

    def finish(self, point: config_lib.Point, result: dict, timing: dict):
        """Records that a point is done."""
        if distributed.is_primary():
            folder = self.folder(point)
            folder.mkdir(parents=True, exist_ok=True)
            metrics = sha256(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else None
            write_checked(folder / "done.json", {"result": result, "timing": timing, "metrics": metrics})
        distributed.barrier("done")

    def rows(self, points: list[config_lib.Point]) -> list[dict[str, Any]]:
        """Options, result and timing of those points that are finished, in the order given; one row a network."""
        done = ((point, self.finished(point)) for point in points)
        return [row for point, record in done if record for row in _by_seed(point, record[0] | record[1])]

    def learning_curves(self, points: list[config_lib.Point]) -> list[dict[str, Any]]:
        """Options and values of every line of the points' `metrics.jsonl`, of those that are finished.

        Raises:
          Failure: a file does not match its checksum.
        """
        rows = []
        for point in points:
            folder = self.folder(point)
            if (folder / "done.json").exists():
                if sha256(folder / "metrics.jsonl") != read_checked(folder / "done.json")["metrics"]:
                    raise Failure(f"{folder / 'metrics.jsonl'} is damaged: remove its folder to train that point again")
                lines = (folder / "metrics.jsonl").read_text().splitlines()
                by_step = [_by_seed(point, json.loads(line)) for line in lines]
                rows += [row for network in zip(*by_step, strict=True) for row in network]
        return rows

    def write_table(self, name: str, rows: list[dict[str, Any]]):
        """Writes `name.csv`; a row may hold more than the table's columns."""
        columns = self._tables[name]
        if distributed.is_primary():
            table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
            path = self.path / f"{name}.csv"
            write(path, table.to_csv(index=False))
            sums = self.path / "tables.json"
            write(sums, json.dumps((read_json(sums) if sums.exists() else {}) | {path.name: sha256(path)}, indent=1))
        distributed.barrier("table")

    def read_table(self, name: str) -> pd.DataFrame:
        """Reads `name.csv`.

        Raises:
          Failure: the file is missing, does not match its checksum, or is not a table of these columns.
        """
        path = self.path / f"{name}.csv"
        sums = self.path / "tables.json"
        if path.exists() and sums.exists() and read_json(sums).get(path.name) != sha256(path):
            raise Failure(
                f"{path} differs from its checksum in {sums}: the same command without --plot_only writes it again"
            )
        return self._parse(name)

    def _parse(self, name: str) -> pd.DataFrame:
        path = self.path / f"{name}.csv"
        columns = self._tables[name]
        try:
            table = pd.read_csv(io.StringIO(path.read_text()), dtype=columns, keep_default_na=False, na_values=[""])
            if list(table.columns) != list(columns):
                raise ValueError(f"its columns are {','.join(map(str, table.columns))}, not {','.join(columns)}")
        except FileNotFoundError:
            raise Failure(f"{path} is not there: run without --plot_only first") from None
        except (ValueError, OSError) as error:
            raise Failure(
                f"{path} is damaged ({error}): remove it, and the same command writes it again from the finished points"
            ) from None
        return table

    def _write_environment(self):
        """Adds what this session runs on to env.json, where it differs from the sessions before."""
        path = self.path / "env.json"
        now = environment()
        sessions = read_json(path) if path.exists() else []
        if now not in sessions:
            write(path, json.dumps([*sessions, now], indent=1))


def _by_seed(point: config_lib.Point, values: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a network: of those that trained together, lists have an entry for each."""
    return [
        dataclasses.asdict(point)
        | {name: value[at] if isinstance(value, list) else value for name, value in values.items()}
        | {"seed": point.seed + at}
        for at in range(max(1, point.num_seeds))
    ]


def _foreign(entry: epath.Path) -> bool:
    """Whether an entry of a directory without a configuration is not of a run that was killed as it began."""
    return entry.suffix != ".tmp" and entry.name != "lock"


def _refuse_other(path: epath.Path, wanted: dict[str, Any], defaults: dict[str, Any]):
    found = defaults | read_json(path / "config.json")
    differ = [
        f"{name} is {found.get(name)!r} there and {wanted.get(name)!r} here"
        for name in {**wanted, **found}
        if found.get(name) != wanted.get(name)
    ]
    if differ:
        there = path / "config.json"
        raise UserError(f"--workdir={path} holds another configuration ({there}): {'; '.join(differ)}")


def environment() -> dict[str, Any]:
    """Versions, device and git commit."""
    import jax  # records can be read without a device

    root = pathlib.Path(__file__).parent.parent
    command = ["git", "-C", root, "rev-parse", "--verify", "--quiet", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True, check=False).stdout if shutil.which("git") else ""
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": f"{jax.device_count()} × {device.platform} {device.device_kind}",
        "cpus": os.cpu_count(),
        "git_commit": git.strip() or None,
    }
