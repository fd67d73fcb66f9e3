"""What does depth cost on a GPU or TPU? Speed, memory, compile time and peers on one device, in ten minutes.

    python -m benchmarks.accelerator
    python -m benchmarks.accelerator --groups=memory --minutes=3

A row of the table is a measurement. They come in order of worth, and none is begun once --minutes leave less than the
longest so far has taken: one line says which were left out. What exhausts the memory, or fails on the device, is a row
with a note. The table is written after every row. PyTorch is compared where the extra [peers] is installed.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator

from benchmarks.table import table
from resjax import lab
from resjax.lab.config import Writing
from resjax.lab.options import option
from resjax.lab.tables import columns, number, text, whole
from resjax.system.errors import UserError

GROUPS = ("matrix", "step", "memory", "seeds", "input", "compile", "unrolled", "torch")
RESULTS = columns(
    group=text("the question that the row belongs to, one of --groups"),
    network=text("is measured: its kind and depth, or a product of matrices"),
    dtype=text("it computes in; of float32, products have the precision that JAX takes by default"),
    remat=text("what a block keeps for the backward pass: a policy of --remat, or everything, which is --remat=''"),
    variant=text("what else tells the row from others of the network"),
    batch=whole("examples a step, of each network", optional=True),
    networks=whole("that train together", optional=True),
    gigaflop=number("10⁹ operations a step: 3 × a forward pass, whatever is computed again; or those of the product"),
    compile_seconds=number("to trace, lower and compile; of PyTorch to the end of the first step"),
    step_milliseconds=number("a step, median over the turns; steps are queued, and waited for once a turn"),
    per_second=number("in this unit"),
    unit=text("what is counted a second: examples, tokens, or operations"),
    matrix_share=number("gigaflop a second, as a share of those of the group matrix in the same dtype"),
    temporary_mib=number("memory that the program of a step takes beside weights, momenta and batch, in MiB"),
    ratio=number("of one column, that of this row to that of another, for each of the networks that train together"),
    ratio_of=text("is the column"),
    ratio_to=text("is the other row: network, variant, dtype, batch, remat"),
    device=text("as JAX calls it"),
    note=text("why there are no numbers, or some are missing"),
)
SHOWN = ["group", "network", "variant", "dtype", "remat", "step_milliseconds", "matrix_share", "temporary_mib", "ratio"]


@dataclasses.dataclass(frozen=True)
class Config(Writing):
    """The options of this benchmark."""

    size: str = option("full", "of the networks; small is to try the command, on a CPU, too", choices=("full", "small"))
    groups: tuple[str, ...] = option(GROUPS, "what is measured", choices=GROUPS)
    minutes: float = option(10.0, "that the command may take", minimum=0.01)
    turns: int = option(3, "times each step is timed", minimum=1)
    seconds: float = option(1.0, "a turn; one step if that takes longer", minimum=0)


def run(config: Config):
    """Measures what there is time for, writes the table as it grows, and prints it."""
    table("accelerator", config, RESULTS, lambda: measured(config), SHOWN)


def measured(config: Config) -> Iterator[dict]:
    """The rows of the table, each measured when it is asked for.

    Raises:
      UserError: nothing of what is asked for can be measured here, or operations cannot be counted.
    """
    from benchmarks.device_meter import Meter  # loads JAX
    from benchmarks.device_networks import SIZES
    from benchmarks.device_plan import planned
    from resjax.system import platform

    platform.cpu()  # as of which operations are counted: refused before any is timed
    size = SIZES[config.size]
    plan = planned(size, config.groups)
    if not plan:
        raise UserError(f"--groups={','.join(config.groups)}: nothing of it can be measured here")
    return rows(plan, Meter(config.turns, config.seconds, size.matrix).row, config.minutes)


def rows(planned: list, measure: Callable, minutes: float, clock: Callable[[], float] = time.monotonic) -> Iterator:
    """The rows that are planned, each printed when it is there, as long as there is time for one like the longest."""
    started = clock()
    longest = 0.0
    for at, one in enumerate(planned):
        begun = clock()
        if begun - started + longest >= 60 * minutes:
            left = "; ".join(other.label for other in planned[at:])
            print(f"left out, to end within --minutes={minutes:g}: {left}")
            return
        row = measure(one)
        longest = max(longest, clock() - begun)
        took = [f"{row['step_milliseconds']:.4g} ms"] if "step_milliseconds" in row else []
        print(f"{one.label}: {'; '.join([*took, *filter(None, [row.get('note')])])}", flush=True)
        yield row


if __name__ == "__main__":
    lab.flags.main(Config, run)
