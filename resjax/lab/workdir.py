"""What a run leaves beside the networks: tables, and figures drawn from them alone.

    workdir/
      config.json   env.json        what was asked for last, and on what it ran
      results.csv   timings.csv …   what the networks say, and how long they took
      SHA256SUMS    lock            the checksums of all these, and who writes
      figure.png    figure.pdf …

Of several processes, of this command or of others, one writes at a time. Networks are in the store
(`resjax.lab.store`).
"""

import contextlib
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from etils import epath

from resjax.lab import datasets
from resjax.lab.config import Optimization, Running, Writing
from resjax.lab.environment import environment
from resjax.lab.options import differing, relevant
from resjax.lab.store import FOLDER as STORE
from resjax.lab.tables import Columns
from resjax.system import checksums, distributed, lock
from resjax.system.errors import Failure, UserError
from resjax.system.files import place

OWN = (STORE, "lock", checksums.NAME)  # what a run that was killed as it began leaves


@dataclasses.dataclass(frozen=True)
class WorkDirectory:
    """The folder of the runs of one experiment."""

    path: epath.Path
    experiment: str
    config: Writing
    tables: Mapping[str, Columns]

    def open(self) -> None:
        """Makes it, or takes up what is there.

        Raises:
          UserError: it is a file or cannot be written, or belongs to something else; with `plot_only`, it holds the
            tables of other options. Failure: its records are damaged.
        """
        if distributed.is_primary():
            with self._advised():
                self._check()
                shard = isinstance(self.config, Running) and self.config.shard  # writes nothing here, nor may it lock
                if not (self.config.plot_only or shard):
                    self._begin()
        distributed.barrier("work directory")

    def _begin(self) -> None:
        try:
            with self.alone():
                self._write_records()
        except checksums.Damaged:
            raise
        except (OSError, Failure) as error:
            raise UserError(f"--workdir={self.path} cannot be written: {error}") from error

    @contextlib.contextmanager
    def _advised(self) -> Iterator[None]:
        """Within this context nobody is told to remove the folder, for the networks of its store are worth keeping."""
        try:
            yield
        except checksums.Damaged as error:
            raise Failure(f"{error.fault}: take another --workdir, with --store={self.path / STORE}") from error

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Within this context no other command writes or draws here."""
        return lock.alone_in_turn(self.path / "lock") if distributed.is_primary() else contextlib.nullcontext()

    def _check(self) -> None:
        there = self.path / "config.json"
        if there.exists():
            found = checksums.read_json(self.path, "config.json")
            if found["experiment"] != self.experiment:
                raise UserError(f"--workdir={self.path}: holds the tables of {found['experiment']}: give another one")
            if self.config.plot_only:
                self._refuse_others(relevant(type(self.config)()) | found)
        elif self.config.plot_only:
            raise UserError(f"--plot_only: there is no run in {self.path}")
        elif self.path.exists() and (not self.path.is_dir() or any(map(_foreign, self.path.iterdir()))):
            kind = "holds other files" if self.path.is_dir() else "is a file"
            raise UserError(f"--workdir={self.path} {kind}: give a new or empty directory")

    def _refuse_others(self, found: dict[str, Any]) -> None:
        differ = [
            f"{name} is {found[name]!r} there and {value!r} here"
            for name, value in relevant(self.config).items()
            if found[name] != value
        ]
        if differ:
            raise UserError(f"--plot_only: the tables in {self.path} are of other options: {'; '.join(differ)}")

    def _write_records(self) -> None:
        checksums.write_json(self.path, "config.json", {"experiment": self.experiment} | relevant(self.config))
        there = (self.path / "env.json").exists()
        sessions = checksums.read_json(self.path, "env.json") if there else []
        now = environment() | (datasets.record(self.config.dataset) if isinstance(self.config, Optimization) else {})
        if now not in sessions:
            checksums.write_json(self.path, "env.json", [*sessions, now])

    def write(self, rows: Mapping[str, list[dict[str, Any]]]) -> None:
        """Writes every table, to be called `alone`; a row may hold more than the table's columns."""
        if distributed.is_primary():
            with self._advised():
                self._write_records()  # another command's may have come in between
                for name, columns in self.tables.items():
                    types = {column: kind.dtype for column, kind in columns.items()}
                    table = pd.DataFrame(rows[name], columns=list(columns)).astype(types)
                    checksums.write(self.path, f"{name}.csv", table.to_csv(index=False))
        distributed.barrier("tables")

    def read(self) -> dict[str, pd.DataFrame]:
        """Every table.

        Raises:
          Failure: a file is missing, does not match its checksum, or is not a table of these columns.
        """
        return {name: self._read(name) for name in self.tables}

    def _read(self, name: str) -> pd.DataFrame:
        path = self.path / f"{name}.csv"
        columns = self.tables[name]
        types = {column: kind.dtype for column, kind in columns.items()}
        try:
            text = checksums.read(self.path, path.name).decode()
            table = pd.read_csv(io.StringIO(text), dtype=types, keep_default_na=False, na_values=[""])
        except FileNotFoundError:
            raise Failure(f"{path} is not there: run without --plot_only first") from None
        except checksums.Damaged as error:
            raise Failure(f"{error.fault}: the same command without --plot_only writes it again") from error
        except ValueError as error:
            raise Failure(
                f"{path} is damaged ({error}): the same command without --plot_only writes it again"
            ) from None
        if list(table.columns) != list(columns):
            there = ",".join(map(str, table.columns))
            raise Failure(f"{path} is damaged: its columns are {there}, not {','.join(columns)}")
        return table


def work_directory(experiment: str, config: Writing, tables: Mapping[str, Columns]) -> WorkDirectory:
    """Where the tables of these options go: runs/EXPERIMENT-HASH unless the user says so."""
    content = json.dumps(differing(config, type(config)()), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return WorkDirectory(place(config.workdir or f"runs/{experiment}-{digest}"), experiment, config, tables)


def _foreign(entry: epath.Path) -> bool:
    return entry.suffix != ".tmp" and entry.name not in OWN
