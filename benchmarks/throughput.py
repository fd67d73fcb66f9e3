"""What does depth cost? Compile time, step time and memory of the scanned stack, as ratios from one run.

    python -m benchmarks.throughput
    python -m benchmarks.throughput --networks=dense

Each ratio compares two things measured in turn in this process, and is the median over the turns; it
stands beside the most that it should be. PyTorch's compiler starts once, in a process of its own. PyTorch
and Equinox are compared where the extra [peers] is installed.
"""

import dataclasses
import importlib

from benchmarks.table import table
from resjax import lab
from resjax.lab.config import Writing
from resjax.lab.options import option
from resjax.lab.tables import columns, number, text

RESULTS = columns(
    what=text("is compared"),
    measured=number("in this unit"),
    reference=number("in this unit"),
    unit=text("of both"),
    ratio=number("measured / reference"),
    at_most=number("what the ratio should be at most"),
)
KINDS = ("dense", "images", "transformers", "streams", "peers")


@dataclasses.dataclass(frozen=True)
class Config(Writing):
    """The options of this benchmark."""

    networks: tuple[str, ...] = option(KINDS, "whose cost is measured; peers are those of dense", choices=KINDS)
    turns: int = option(5, "times each pair is measured", minimum=1)
    steps: int = option(10, "steps a turn", minimum=1)


def run(config: Config):
    """Measures everything, writes the table as it grows, and prints it."""
    table("throughput", config, RESULTS, lambda: rows(config))


def rows(config: Config):
    """The rows of the table, each printed when it is there."""
    for kind in config.networks:
        for measure in importlib.import_module(f"benchmarks.{kind}").MEASURES:  # they load JAX
            try:
                for row in measure(config.turns, config.steps):
                    print(f"{row['what']}: {row['ratio']:.3g} (at most {row['at_most']:.3g})", flush=True)
                    yield row
            except ModuleNotFoundError as error:
                print(f"{error.name} is not installed (extra [peers]): not compared")
            except ChildProcessError as error:
                print(f"{error}: not compared")


if __name__ == "__main__":
    lab.flags.main(Config, run)
