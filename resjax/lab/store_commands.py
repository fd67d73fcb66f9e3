"""What is in a store: `python -m resjax.lab.store list|show|compare|prune`."""

import contextlib
import dataclasses
import sys
import time
from typing import Any

import pandas as pd
from etils import epath

from resjax.lab import flags, trial
from resjax.lab.options import Options, option
from resjax.lab.view import console, show
from resjax.system import checksums, lock
from resjax.system.errors import Failure, UserError
from resjax.system.files import place

DAY = 24 * 3600
NAMES = {"list": 0, "show": 1, "compare": 2, "prune": 0}  # the commands, and how many names of networks each takes
RESULT = ("steps", "train_loss", "train_accuracy", "test_accuracy", "diverged")
KINDS = {kind.__name__: kind for kind in (trial.Trial, trial.Start)}


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """The options of these commands."""

    store: str = option("runs/store", "the store")
    days: float = option(0.0, "prune only what was last written to so many days ago", minimum=0)
    execute: bool = option(False, "prune; without it, it is only said what would go")
    command: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Entry:
    """One folder of a store."""

    folder: epath.Path
    options: dict[str, Any]
    result: dict[str, Any] | None  # None: not trained to the end
    damaged: bool = False

    @property
    def files(self) -> list[epath.Path]:
        """All its files, but for those of a process at work."""
        listed = checksums.sums(self.folder) if not self.damaged else ()
        return [path for name in listed if (path := self.folder / name).exists()] or [self.folder]

    @property
    def age(self) -> float:
        """Days since something was written."""
        return (time.time() - max(path.stat().mtime for path in self.files)) / DAY

    @property
    def megabytes(self) -> float:
        """On disk."""
        return sum(path.stat().length for path in self.files) / 1e6

    @property
    def lost(self) -> str:
        """Why nobody will find it; empty if somebody may."""
        if self.damaged:
            return "damaged"
        if not self.result and not (self.folder / "measured").exists():
            return "never finished"
        kind = KINDS.get(self.options["kind"])
        if not kind:
            return ""  # an experiment's own, which this command does not know
        known = {field.name for field in dataclasses.fields(kind)}
        given = {name: value for name, value in self.options.items() if name in known}
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        try:
            found = trial.address(kind(**values))
        except UserError:
            return ""  # of a file or a module that is not here now: it may come back
        except TypeError:
            found = "none"
        return "" if self.folder.name.endswith(found) else "of another version"


def entries(path: epath.Path) -> list[Entry]:
    """The networks of a store.

    Raises:
      UserError: there is no store.
    """
    if not path.is_dir():
        raise UserError(f"--store={path}: there is no store")
    found = []
    for folder in sorted(path.iterdir()):
        if not (folder / "config.json").exists():
            found += [Entry(folder, {}, None)] if (folder / "lock").exists() else []  # killed as it began
        else:
            try:
                options = checksums.read_json(folder, "config.json")
                done = checksums.read_json(folder, "done.json") if (folder / "done.json").exists() else None
                found.append(Entry(folder, options, done))
            except Failure:
                found.append(Entry(folder, {}, None, damaged=True))
    return found


def table(found: list[Entry]) -> pd.DataFrame:
    """A row a network: the options in which they differ, result, age and size."""
    options = pd.DataFrame([entry.options for entry in found]).map(str)
    differing = options[[name for name in options if options[name].nunique() > 1]]
    results = pd.DataFrame([entry.result or {} for entry in found], columns=list(RESULT))
    sizes = [{"days old": entry.age, "MB": entry.megabytes} for entry in found]
    names = pd.DataFrame({"address": [entry.folder.name[-16:] for entry in found]})
    return pd.concat([names, differing, results, pd.DataFrame(sizes)], axis=1)


def run(config: Config) -> None:
    """Does what is asked."""
    command, *names = config.command or ("list",)
    if NAMES.get(command) != len(names):
        raise UserError(f"{' '.join(config.command)}: give list, show NAME, compare NAME NAME, or prune")
    path = place(config.store)
    found = entries(path)
    known = [entry for entry in found if entry.options]
    if command == "list":
        show(table(known), f"{len(known)} networks in {path}") if known else console.print(f"no network in {path}")
    elif command == "prune":
        prune([entry for entry in found if entry.age >= config.days], config.execute)
    else:
        chosen = [entry for name in names for entry in named(known, name, single=command == "compare")]
        shown = pd.DataFrame([entry.options | (entry.result or {}) for entry in chosen]).map(str).T
        if command == "compare":
            shown = shown[shown[0] != shown[1]]
        shown.columns = [entry.folder.name for entry in chosen]
        show(shown.reset_index(names=""), f"{path}")


def named(found: list[Entry], name: str, single: bool) -> list[Entry]:
    """The networks whose folder's name has this in it.

    Raises:
      UserError: there is none or, where a `single` one is wanted, there are several.
    """
    chosen = [entry for entry in found if name in entry.folder.name]
    if not chosen or (single and len(chosen) > 1):
        raise UserError(f"{name}: {len(chosen)} networks have this in their name: see `list`")
    return chosen


def prune(found: list[Entry], execute: bool) -> None:
    """Removes, or only says, what nobody will find; a network at which somebody is at work stays."""
    for entry in found:
        if reason := entry.lost:
            with contextlib.suppress(lock.Held), lock.alone(entry.folder / "lock"):
                console.print(f"{'removed' if execute else 'would remove'} {entry.folder.name}: {reason}")
                if execute:
                    entry.folder.rmtree()


def main() -> None:
    """The command: its words may stand before and behind its flags."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    given = [word for word in sys.argv[1:] if word.startswith("-")]
    flags.main(Config, run, sys.modules["__main__"], [sys.argv[0], *given, "--", *words])
