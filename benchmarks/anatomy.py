"""Where does the time of a command go? Of its first run, and of one that finds its programs compiled.

    python -m benchmarks.anatomy
    python -m benchmarks.anatomy -- experiments.depth_scaling --depths=20,56 --norms=batch

Both train everything; the second has a new store and the programs of the first. Parts are those of the main thread:
what another thread compiles meanwhile costs nothing here but the time that it is waited for.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.table import table
from resjax import lab
from resjax.lab import behind
from resjax.lab.config import Writing
from resjax.lab.options import option
from resjax.lab.tables import columns, number, text
from resjax.system.errors import Failure

RESULTS = columns(
    run=text("first: nothing is compiled; second: everything is"),
    part=text("what the main thread is at"),
    seconds=number("of it"),
    share=number("of the whole run"),
)
TRAINING = ("first weights", "steps", "evaluation", "records")  # what `train` does, but for its programs
MAIN = ("experiments.depth_scaling",)  # the README's
DECIDED = ("workdir", "store", "compile_cache", "plot_only")  # flags of the command that are given here


@dataclasses.dataclass(frozen=True)
class Config(Writing):
    """The options of this benchmark."""

    command: tuple[str, ...] = option(MAIN, "an experiment and its flags, behind `--`", distinct=False)


def run(config: Config) -> None:
    """Runs the command twice, then writes and prints the table."""
    found = table("anatomy", config, RESULTS, lambda: measured(config.command))
    for name, own in found.groupby("run", sort=False):
        training = own.loc[own["part"].isin(TRAINING), "share"].sum()
        print(f"{name} run: {1 / training:.2f} × the time of training")


def measured(command: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of the table; raises UserError for a command that cannot be."""
    behind.check(command, *DECIDED)
    return rows(*command)


def rows(module: str, *flags: str) -> Iterator[dict[str, Any]]:
    """A row a run and part."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            own = pathlib.Path(folder) / name
            told = own.with_suffix(".json")
            places = [f"--workdir={own}", f"--store={own}/store", f"--compile_cache={folder}/programs"]
            words = [sys.executable, "-m", "benchmarks.sampling", str(told), module, *flags, *places]
            if code := subprocess.run(words, stdout=subprocess.DEVNULL).returncode:
                raise Failure(f"{module}, the {name} run: ended with {code}, see above")
            seconds = json.loads(told.read_text())
            for part, spent in seconds.items():
                yield {"run": name, "part": part, "seconds": spent, "share": spent / sum(seconds.values())}


if __name__ == "__main__":
    lab.flags.main(Config, run)
