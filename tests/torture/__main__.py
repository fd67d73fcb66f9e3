"""Is anything lost, or silently wrong, whatever happens to a run?

    python -m tests.torture
    python -m tests.torture --kills=5 --shared=4 --flips=24 --signals=4 --disks=2 --seconds=1 --flags_tried=50

Runs a small experiment again and again: killed at random moments, alone or among three processes that share its
networks; with single bits of its files flipped, or files cut off; stopped by SIGTERM and SIGINT; on a disk that fills
up or can no longer be written; started a second and a third time. And gives random command lines to all experiments.
In the end the tables must be those of an undisturbed run, to the last bit, and what is damaged must be named. The
table counts what was tried, what was lost and what was silent; both should be 0.

Half an hour on 2 CPU cores. Disks are filled where a user may mount one, which is root; command lines need the extra
[test].
"""

import dataclasses
import importlib
import os
import pathlib
import random
import shutil
import sys
from collections.abc import Iterable, Iterator

import pandas as pd
from rich.console import Console
from rich.progress import Progress

from resjax.lab import flags, view
from resjax.lab.options import Options, option, relevant
from resjax.system import checksums
from resjax.system.errors import Failure
from tests.torture.commands import Commands
from tests.torture.verdicts import Tried

PARTS = {  # options, and the modules beside this one that do it so many times
    "kills": "kills",
    "shared": "shared",
    "flips": "flips",
    "signals": "signals",
    "disks": "disks",
    "seconds": "seconds",
    "flags_tried": "flags",
}
QUICK = {  # small networks compile far longer than they run
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """The options of this torture."""

    workdir: str = option("runs/torture", "where the table goes, and what went wrong", changes_results=False)
    kills: int = option(100, "times that a run is killed", minimum=0)
    shared: int = option(20, "times that one of three processes of a run is killed", minimum=0)
    flips: int = option(200, "times that a bit is flipped, or a file cut off", minimum=0)
    signals: int = option(40, "times that a run is stopped", minimum=0)
    disks: int = option(12, "times that a disk fills up, or can no longer be written", minimum=0)
    seconds: int = option(3, "times that a command is started a second and a third time", minimum=0)
    flags_tried: int = option(500, "random command lines", minimum=0)
    together: int = option(2, "runs at a time, while they are killed", minimum=1)
    seed: int = option(0, "seed of all that is random", minimum=0)


def run(config: Config) -> None:
    """Does everything, then writes and prints the table.

    Raises:
      Failure: something was lost, or silent.
    """
    os.environ |= QUICK  # of this process and of all that it starts
    folder = pathlib.Path(config.workdir)
    scratch = folder.resolve() / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    table = counted(rows(config, scratch))
    checksums.write_json(folder, "config.json", {"experiment": "torture"} | relevant(config))
    checksums.write(folder, "results.csv", table.to_csv(index=False))
    view.show(table, "nothing lost")
    print(f"table: {folder}/results.csv")
    wrong = table["lost"].sum() + table["silent"].sum()
    if wrong:
        raise Failure(f"{wrong} of {table['times'].sum()} were lost or silent: see {scratch}")
    shutil.rmtree(scratch)


def rows(config: Config, scratch: pathlib.Path) -> Iterator[Tried]:
    """All that is tried; what went wrong is printed, and its work directory kept in `scratch`."""
    console = Console(file=sys.stdout)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=sum(getattr(config, part) for part in PARTS))
        commands = Commands(scratch, config.together)
        for part, name in PARTS.items():
            if times := getattr(config, part):
                progress.update(task, description=part)
                module = importlib.import_module(f"tests.torture.{name}")
                for tried in module.tried(commands, times, random.Random(f"{config.seed} {part}")):
                    progress.advance(task)
                    if tried.wrong:
                        console.print(f"{tried.what}, {tried.where}: {tried.wrong}", markup=False, soft_wrap=True)
                    yield tried


def counted(rows: Iterable[Tried]) -> pd.DataFrame:
    """The table: a row a kind.

    what (was done to a run), where (what it was doing, or the kind of file), times, named (how often a line said what
    is damaged, where something can be), lost (how often a run did not end as it should), silent (how often a table was
    another one and nobody said so), seconds (at most, from a signal to the end).
    """
    table = pd.DataFrame([dataclasses.asdict(tried) for tried in rows], columns=Tried.names())
    table = table.assign(times=1, lost=table["lost"] != "", silent=table["silent"] != "")
    sums = dict.fromkeys(("times", "named", "lost", "silent"), "sum")
    return table.groupby(["what", "where"], sort=False).agg(sums | {"seconds": "max"}).reset_index()


if __name__ == "__main__":
    flags.main(Config, run)
