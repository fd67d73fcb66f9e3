"""What a run leaves on disk: one folder an experiment, one folder a point, tables written from them.

    workdir/
      config.json   env.json             what was asked for, and on what it ran
      points/NAME/  config.json metrics.jsonl checkpoints/ manifests/ done.json
      results.csv   timings.csv …        what the points say, and how long they took
      figure.png    figure.pdf …         drawn from the tables alone

Records are written whole and then renamed, so a killed run leaves no half-written one; `metrics.jsonl`
grows line by line, and a torn last line is dropped when the run is taken up again.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import platform
import re
import subprocess
from importlib import metadata
from typing import Any

import pandas as pd

from resjax import config as config_lib
from resjax.errors import Failure, UserError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy", "scikit-learn")

Tables = dict[str, dict[str, str]]  # file name -> column -> pandas dtype


def write(path: pathlib.Path, text: str):
    """Writes a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Failure(f"cannot write {path}: {error.strerror}") from error


def read_json(path: pathlib.Path) -> Any:
    """Reads a file that `write` wrote.

    Raises:
      Failure: it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Failure(f"{path} is damaged ({error}): remove it, or its folder, to make it again") from None


class WorkDirectory:
    """The folder of one run of one experiment."""

    def __init__(self, path: pathlib.Path, tables: Tables):
        self.path, self._tables = path, tables

    @classmethod
    def open(cls, experiment: str, config, tables: Tables) -> "WorkDirectory":
        """Makes the work directory, or takes up one that has the same configuration in it.

        Args:
          experiment: its name, part of the default path.
          config: its configuration, with `workdir` and `plot_only`.
          tables: the columns and pandas dtypes of each csv file.

        Raises:
          UserError: the path is a file or cannot be written, or belongs to something else.
          Failure: its records are damaged.
        """
        path = pathlib.Path(config.workdir or f"runs/{experiment}-{config_lib.digest(config)}")
        work, wanted = cls(path, tables), {"experiment": experiment} | config_lib.relevant(config)
        if path.is_dir() and (path / "config.json").exists():
            # a run from before an option was there had what is now its default; but its points have other names
            _refuse_other(path, wanted, config_lib.relevant(type(config)()) if config.plot_only else {})
        elif config.plot_only:
            raise UserError(f"--plot_only: there is no run in {path}")
        elif path.exists() and (not path.is_dir() or any(entry.suffix != ".tmp" for entry in path.iterdir())):
            kind = "holds other files" if path.is_dir() else "is a file"
            raise UserError(f"--workdir={path} {kind}: give a new or empty directory")
        for name in tables:
            if (path / f"{name}.csv").exists():
                work.read_table(name)  # a damaged one is named before anything is done
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not (path / "config.json").exists():
                write(path / "config.json", json.dumps(wanted, indent=1))
        except (OSError, Failure) as error:
            raise UserError(f"--workdir={path} cannot be written: {error}") from error
        work._write_environment()
        return work

    def folder(self, point: config_lib.Point) -> pathlib.Path:
        """The folder of one point."""
        name = f"{point.connection}-{point.norm}-{point.depth}-{point.seed}"
        readable = re.sub(r"[^\w.=-]+", "_", name)
        return self.path / "points" / f"{readable}-{config_lib.digest(point)}"

    def finished(self, point: config_lib.Point) -> tuple[dict, dict] | None:
        """(result, timing) of a finished point, or None.

        Raises:
          Failure: its record does not match its checksum.
        """
        path = self.folder(point) / "done.json"
        if not path.exists():
            return None
        done = read_json(path)
        if not isinstance(done, dict) or done.pop("sha256", None) != _checksum(done):
            raise Failure(f"{path} is damaged: remove it to finish that point again")
        return done["result"], done["timing"]

    def finish(self, point: config_lib.Point, result: dict, timing: dict):
        """Records that a point is done."""
        self.folder(point).mkdir(parents=True, exist_ok=True)
        done = {"result": result, "timing": timing}
        write(self.folder(point) / "done.json", json.dumps(done | {"sha256": _checksum(done)}, indent=1))

    def rows(self, points: list[config_lib.Point]) -> list[dict[str, Any]]:
        """Options, result and timing of those points that are finished, in the order given."""
        done = ((point, self.finished(point)) for point in points)
        return [dataclasses.asdict(point) | record[0] | record[1] for point, record in done if record]

    def courses(self, points: list[config_lib.Point]) -> list[dict[str, Any]]:
        """Options and values of every line of the points' `metrics.jsonl`, of those that are finished."""
        return [
            dataclasses.asdict(point) | json.loads(line)
            for point in points
            if (self.folder(point) / "done.json").exists()
            for line in (self.folder(point) / "metrics.jsonl").read_text().splitlines()
        ]

    def write_table(self, name: str, rows: list[dict[str, Any]]):
        """Writes `name.csv`; a row may hold more than the table's columns."""
        columns = self._tables[name]
        table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
        write(self.path / f"{name}.csv", table.to_csv(index=False))

    def read_table(self, name: str) -> pd.DataFrame:
        """Reads `name.csv`.

        Raises:
          Failure: the file is missing, or is not a table of these columns.
        """
        path, columns = self.path / f"{name}.csv", self._tables[name]
        try:
            table = pd.read_csv(path, dtype=columns, keep_default_na=False, na_values=[""])
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
        path, now = self.path / "env.json", environment()
        sessions = read_json(path) if path.exists() else []
        if now not in sessions:
            write(path, json.dumps([*sessions, now], indent=1))


def _refuse_other(path: pathlib.Path, wanted: dict[str, Any], defaults: dict[str, Any]):
    found = defaults | read_json(path / "config.json")
    differ = [
        f"{name} is {found.get(name)!r} there and {wanted.get(name)!r} here"
        for name in {**wanted, **found}
        if found.get(name) != wanted.get(name)
    ]
    if differ:
        raise UserError(f"--workdir={path} holds another configuration: {'; '.join(differ)}")


def environment() -> dict[str, Any]:
    """Versions, device and git commit."""
    import jax  # records can be read without a device

    root = pathlib.Path(__file__).parent.parent
    command = ["git", "-C", root, "rev-parse", "--verify", "--quiet", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True, check=False)
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": f"{jax.device_count()} × {device.platform} {device.device_kind}",
        "cpus": os.cpu_count(),
        "git_commit": git.stdout.strip() or None,
    }


def _checksum(content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
