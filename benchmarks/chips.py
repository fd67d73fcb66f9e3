"""Published figures of chips, and what limits a step on them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """A chip, by its maker's figures."""

    memory: float  # bytes
    flops: float  # a second, in bfloat16: what a TPU multiplies float32 in, too, unless told otherwise
    links: float  # bytes a second that its links bring in: half of what is published, which counts both directions


CHIPS = {
    "v5e": Chip(16e9, 197e12, 400e9 / 2),  # https://docs.cloud.google.com/tpu/docs/v5e
    "v6e": Chip(32e9, 918e12, 800e9 / 2),  # https://docs.cloud.google.com/tpu/docs/v6e
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """The least time that a step can take on a chip, by what takes it."""

    compute: float  # seconds
    links: float  # seconds
    limit: str  # what a step is bound by: memory, if it does not fit; else compute or links, whichever takes longer


def limits(chip: Chip, memory: float, flops: float, received: float) -> Limits:
    """Those of a step with this memory (bytes), work (FLOPs) and traffic (bytes received), all of one chip."""
    compute = flops / chip.flops
    links = received / chip.links
    slower = "compute" if compute >= links else "links"
    return Limits(compute, links, slower if memory <= chip.memory else "memory")
