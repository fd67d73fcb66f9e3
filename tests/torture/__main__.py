"""Is anything lost, or silently wrong, whatever happens to a run?

    python -m tests.torture
    python -m tests.torture --kills=5 --flips=20 --signals=4 --disks=2 --locks=1 --flags_tried=50

Runs a small experiment again and again: killed at random moments; with single bits of its files flipped, or files cut
off; stopped by SIGTERM and SIGINT; on a disk that fills up or can no longer be written; twice on one work directory.
And gives random command lines to all experiments. In the end its table must be that of an undisturbed run, to the
last bit, and what is damaged must be named. The table counts what was tried and what was lost, which should be 0.

Twenty-five minutes on 2 CPU cores. The parts are the modules beside this one. Disks are filled
where a user may mount one, which is root; command lines need the extra [test].
"""

import dataclasses
import importlib
import os
import pathlib
import random
import shutil
from collections.abc import Iterator

from rich.progress import Progress

import resjax
from resjax.lab.config import Running, option
from resjax.system.errors import Failure

RESULTS = {
    "what": "str",  # was done to a run
    "where": "str",  # what it was doing, or the kind of file
    "times": "int64",
    "named": "int64",  # how often a line on stderr said what is damaged, where something can be
    "lost": "int64",  # how often the table was another one, a fault was not named, or there was a traceback
    "seconds": "float64",  # at most, from a signal to the end
}
PARTS = "kills", "flips", "signals", "disks", "locks", "flags_tried"  # options, and modules kills, …
QUICK = {  # small networks compile far longer than they run
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


@dataclasses.dataclass(frozen=True)
class Config(Running):
    """The options of this torture."""

    kills: int = option(100, "times that a run is killed", minimum=0)
    flips: int = option(200, "times that a bit is flipped, or a file cut off", minimum=0)
    signals: int = option(40, "times that a run is stopped", minimum=0)
    disks: int = option(12, "times that a disk fills up, or can no longer be written", minimum=0)
    locks: int = option(3, "times that a second run is started on a work directory", minimum=0)
    flags_tried: int = option(500, "random command lines", minimum=0)
    together: int = option(2, "runs at a time, while they are killed", minimum=1)
    seed: int = option(0, "seed of all that is random", minimum=0)


def run(config: Config):
    """Does everything, then writes and prints the table.

    Raises:
      Failure: something was lost.
    """
    os.environ |= QUICK  # of this process and of all that it starts
    work = resjax.lab.workdir.WorkDirectory.open("torture", config, {"results": RESULTS})
    if not config.plot_only:
        work.write_table("results", counted(rows(config, pathlib.Path(work.path).absolute() / "scratch")))
    results = work.read_table("results")
    resjax.lab.session.show(results, title="nothing lost")
    print(f"table: {work.path / 'results.csv'}")
    if lost := results["lost"].sum():
        raise Failure(f"{lost} of {results['times'].sum()} were lost: see {work.path / 'scratch'}")


def rows(config: Config, scratch: pathlib.Path) -> Iterator[dict]:
    """A row for everything that is tried; what went wrong is printed, and its work directory kept in `scratch`."""
    from tests.torture.commands import Commands  # these load JAX

    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with Progress(console=resjax.lab.session.console, transient=True) as progress:
        task = progress.add_task("", total=sum(getattr(config, part) for part in PARTS))
        say = lambda line: progress.console.print(line, markup=False, highlight=False)  # noqa: E731
        commands = Commands(scratch, config.together, lambda: progress.advance(task), say)
        reference = commands.reference()
        for part in PARTS:
            if times := getattr(config, part):
                progress.update(task, description=part)
                module = importlib.import_module(f"tests.torture.{part.partition('_')[0]}")
                yield from module.tried(commands, reference, times, random.Random(f"{config.seed} {part}"))


def counted(rows: Iterator[dict]) -> list[dict]:
    """The table: rows of one kind together."""
    table = {}
    for row in rows:
        kind = row["what"], row["where"]
        line = table.setdefault(kind, {"what": kind[0], "where": kind[1], "times": 0, "named": 0, "lost": 0})
        line["times"] += 1
        for name in ("named", "lost"):
            line[name] += row.get(name, 0)
        if "seconds" in row:
            line["seconds"] = max(row["seconds"], line.get("seconds", 0.0))
    return list(table.values())


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
