"""Where does a training step of ResNet-20 go on a CPU? Kind of operation by kind, beside the machine and PyTorch.

    python -m benchmarks.operations
    python -m benchmarks.operations --depth=56

XLA's own profiler says when each operation began. What it takes is the time until the next one begins, for some hand
their work to other threads. FLOPs and bytes are counted in the compiled program; the machine's own rates are measured
in the same run. PyTorch's profiler tells its times, where the extra [peers] is installed.
"""

import dataclasses
from collections.abc import Iterator

from benchmarks.kinds import KINDS
from benchmarks.table import table
from resjax import lab
from resjax.lab.config import Writing
from resjax.lab.options import option
from resjax.lab.tables import columns, number, text

RESULTS = columns(
    kind=text("; ".join(f"{kind}: {what}" for kind, what in KINDS.items())),
    milliseconds=number("a step"),
    share=number("of the step"),
    gigaflops=number("10⁹ FLOPs a step; of convolutions and products"),
    gigabytes=number("10⁹ bytes a step; read or written"),
    flop_share=number("FLOPs a second, as a share of a large product's"),
    byte_share=number("bytes a second, as a share of a large copy's"),
    torch_milliseconds=number("PyTorch's, which makes both gradients in one: they stand with the inputs'"),
)


@dataclasses.dataclass(frozen=True)
class Config(Writing):
    """The options of this benchmark."""

    depth: int = option(20, "weighted layers of the ResNet", minimum=8)
    batch_size: int = option(128, "images a step, 32×32", minimum=1)
    steps: int = option(5, "steps that are looked at", minimum=1)


def run(config: Config) -> None:
    """Measures, then writes and prints the table."""
    table("operations", config, RESULTS, lambda: measured(config))


def measured(config: Config) -> Iterator[dict]:
    """The rows of the table; raises UserError for a network that cannot be."""
    from benchmarks import profiles  # loads JAX

    step = profiles.training(config.depth, config.batch_size)
    return profiles.rows(step, config.depth, config.batch_size, config.steps)


if __name__ == "__main__":
    lab.flags.main(Config, run)
