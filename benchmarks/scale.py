"""What would limit training on 8, 64 and 256 chips? Memory, collectives and least times, from compiled programs.

    python -m benchmarks.scale
    python -m benchmarks.scale --networks=transformer:1002 --chips=8 --layouts=data,fsdp

The real training step is compiled ahead of time for so many devices, none of which is there, by XLA's compiler for
CPUs, and read: bytes of one device, and its collectives. Beside them stand the times that the published figures of TPU
v5e and v6e allow at best (`benchmarks.chips`). Every chip gets the same share of a batch, however many there are.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.chips import CHIPS, limits
from benchmarks.collectives import KINDS, Collective
from benchmarks.table import tables
from resjax import lab
from resjax.lab.config import Writing
from resjax.lab.options import option
from resjax.lab.part import Row
from resjax.lab.tables import columns, number, text, whole
from resjax.system.errors import UserError

if TYPE_CHECKING:
    from benchmarks.scale_programs import Case

NETWORKS = ("bottleneck", "transformer")
LAYOUTS = ("data", "fsdp", "layers")
WHICH = {
    "network": text("bottleneck or transformer"),
    "layers": whole("weighted, on the longest path"),
    "layout": text("data: weights whole on every chip; fsdp: split within each layer; layers: split between layers"),
    "chips": whole("among which it is trained"),
}
RESULTS = columns(
    **WHICH,
    parameters=whole("trained numbers"),
    state_bytes=whole("of a chip: weights, momenta and its share of the batch"),
    temporary_bytes=whole("of a chip beside them: gradients, streams and gathered weights"),
    collectives=whole("that a step runs"),
    received_bytes=number("that come to a chip in a step, where collectives go in rings"),
    flops=number("of a chip in a step, what is computed again counted in"),
    **{f"{chip}_compute_ms": number("the least time for the FLOPs, in milliseconds") for chip in CHIPS},
    **{f"{chip}_links_ms": number("the least time for the received bytes, in milliseconds") for chip in CHIPS},
    **{f"{chip}_limit": text("memory, if the bytes do not fit; else compute or links, the longer") for chip in CHIPS},
)
COLLECTIVES = columns(
    **WHICH,
    kind=text("of collective"),
    times=whole("that a step runs one"),
    bytes=whole("of what is summed, gathered or exchanged, in a step"),
    received_bytes=number("of these that come to a chip, where they go in rings"),
)


@dataclasses.dataclass(frozen=True)
class Config(Writing):
    """The options of this benchmark."""

    chips: tuple[int, ...] = option((8, 64, 256), "among which a network is trained", minimum=2, maximum=1024)
    layouts: tuple[str, ...] = option(LAYOUTS, "weights whole, split, or split by layers", choices=LAYOUTS)
    networks: tuple[str, ...] = option(
        ("bottleneck:1001", "transformer:1002", "transformer:10242"), "NAME:LAYERS of bottleneck, transformer"
    )
    images: int = option(32, "of 32×32×3 a chip", minimum=1)
    windows: int = option(4, "of a text a chip", minimum=1)
    tokens: int = option(1024, "a window", minimum=1)
    width: int = option(1024, "of transformers, with 16 heads", minimum=1)


def run(config: Config):
    """Compiles everything, then writes and prints the tables."""
    from benchmarks import scale_programs  # it loads JAX

    cases = {network: _case(config, network) for network in config.networks}
    scale_programs.pretend(max(config.chips))
    columns = {"results": RESULTS, "collectives": COLLECTIVES}
    tables("scale", config, columns, lambda: rows(config, cases))


def rows(config: Config, cases: dict[str, "Case"]) -> Iterator[Row]:
    """The rows of both tables, a program after the other; raises UserError if the layouts split nothing."""
    asked = list(_asked(config, cases))
    if not asked:
        raise UserError(f"--layouts={','.join(config.layouts)}: splits none of --networks over --chips evenly")
    return (row for network, *where in asked for row in _program(cases[network], network, *where))


def _case(config: Config, network: str) -> "Case":
    from benchmarks import scale_programs

    name, _, depth = network.partition(":")
    if name not in NETWORKS or not depth.isdecimal():
        raise UserError(f"--networks={network}: must be NAME:LAYERS, with a name of {', '.join(NETWORKS)}")
    try:
        return scale_programs.case(name, int(depth), config.width, config.images, config.windows, config.tokens)
    except ValueError as error:
        raise UserError(f"--networks={network}: {error}") from error


def _asked(config: Config, cases: dict[str, "Case"]) -> Iterator[tuple[str, str, int]]:
    """Networks, layouts and chips, but for layouts that would split nothing."""
    from benchmarks import scale_programs

    for network, layout, chips in itertools.product(cases, config.layouts, config.chips):
        if layout == "data" or scale_programs.splits(cases[network], scale_programs.layout(layout, chips)):
            yield network, layout, chips
        else:
            print(f"{network} {layout}: {chips} chips do not split its weights evenly: left out", flush=True)


def _program(case: "Case", network: str, layout: str, chips: int) -> Iterator[Row]:
    """A row of the results, and the rows of its collectives."""
    from benchmarks import scale_programs

    print(f"{network} {layout}: compiling for {chips} chips", flush=True)
    name, _, depth = network.partition(":")
    which = {"network": name, "layers": int(depth), "layout": layout, "chips": chips}
    memory, collectives = scale_programs.compiled(case, scale_programs.layout(layout, chips))
    sizes = {"parameters": case.parameters}
    yield "results", which | sizes | _row(memory, collectives, case.flops)
    yield from (("collectives", which | row) for row in _by_kind(collectives))


def _row(memory: Any, collectives: list[Collective], flops: float) -> dict:
    received = sum(one.received_bytes for one in collectives)
    state = memory.argument_size_in_bytes
    temporary = memory.temp_size_in_bytes
    times = sum(one.times for one in collectives)
    row = {"state_bytes": state, "temporary_bytes": temporary, "received_bytes": received, "collectives": times}
    for name, chip in CHIPS.items():
        least = limits(chip, state + temporary, flops, received)
        row |= {f"{name}_compute_ms": 1e3 * least.compute, f"{name}_links_ms": 1e3 * least.links}
        row[f"{name}_limit"] = least.limit
    return row | {"flops": flops}


def _by_kind(collectives: list[Collective]) -> Iterator[dict]:
    for kind in KINDS:
        chosen = [one for one in collectives if one.kind == kind]
        if chosen:
            sums = {name: sum(getattr(one, name) for one in chosen) for name in ("times", "bytes", "received_bytes")}
            yield {"kind": kind} | sums


if __name__ == "__main__":
    lab.flags.main(Config, run)
