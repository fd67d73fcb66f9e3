"""What does depth cost? Compile time, step time and memory of the scanned stack, as ratios from one run.

    python -m benchmarks.throughput
    python -m benchmarks.throughput --networks=dense

Each ratio compares two things measured in turn in this process, and is the median over the turns; it
stands beside the most that it should be. PyTorch's compiler starts once, in a process of its own. PyTorch
and Equinox are compared where the extra [peers] is installed.
"""

import dataclasses
import importlib

from resjax import lab
from resjax.lab.config import Running
from resjax.lab.options import option
from resjax.lab.tables import columns, number, text
from resjax.system.errors import UserError

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
class Config(Running):
    """The options of this benchmark."""

    networks: tuple[str, ...] = option(
        KINDS, "whose cost is measured: dense, of images, texts, streams; peers of dense"
    )
    turns: int = option(5, "times each pair is measured", minimum=1)
    steps: int = option(10, "steps a turn", minimum=1)

    def __post_init__(self):
        super().__post_init__()
        for kind in self.networks:
            if kind not in KINDS:
                raise UserError(f"--networks={kind}: must be one of {', '.join(KINDS)}")


def run(config: Config):
    """Measures everything, then writes and prints the table."""
    work = lab.workdir.work_directory("throughput", config, {"results": RESULTS})
    work.open()
    measured = [] if config.plot_only else list(rows(config))
    with work.alone():
        if not config.plot_only:
            work.write({"results": measured})
        lab.view.show(work.read()["results"], "throughput")
    print(f"table: {work.path / 'results.csv'}")


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
