"""The collectives of a compiled program, read from its text: how often a step runs each, and the bytes that it moves.

A loop's body stands in the text once and runs as often as XLA has found out, which it writes beside the loop.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

from benchmarks.hlo_types import bytes_of, computations

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(-start)?\(")
CALL = re.compile(r"\b(body|calls|to_apply)=%?([\w.\-]+)")
TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}")
LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
TILED = re.compile(r"replica_groups=\[\d+,(\d+)\]")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One instruction of a program."""

    kind: str
    array: int  # bytes of what is summed, gathered, scattered or exchanged, on one device
    group: int  # devices among which it is
    times: int  # that a step runs it

    @property
    def bytes(self) -> int:
        """Bytes of the arrays, all times of a step."""
        return self.array * self.times

    @property
    def received_bytes(self) -> float:
        """Bytes that come to a device in a step, where the devices of a group stand in a ring."""
        others = (self.group - 1) / self.group
        share = {"all-reduce": 2 * others, "collective-permute": 1.0}.get(self.kind, others)
        return share * self.bytes


def collectives(program: str) -> list[Collective]:
    """Those of the text of a compiled program (`compiled.as_text()`).

    Raises:
      ValueError: a loop whose turns are not known, a conditional, or a collective that does not wait for its end: the
        compiler for CPUs makes none of these of a training step.
    """
    entry, bodies = computations(program)
    return list(_of(bodies, entry, 1))


def _of(bodies: dict[str, list[str]], name: str, times: int) -> Iterator[Collective]:
    """Those of a computation that runs so many times, and of all that it calls."""
    for line in bodies[name]:
        if " conditional(" in line:
            raise ValueError(f"a conditional, of which it is not known what runs: {line.strip()[:200]}")
        if match := COLLECTIVE.search(line):
            result, kind, begun = match.groups()
            if begun:
                raise ValueError(f"a collective that does not wait for its end: {line.strip()[:200]}")
            group = _group(line)
            array = bytes_of(result) * (group if kind == "reduce-scatter" else 1)
            yield Collective(kind, array, group, times)
        for how, called in CALL.findall(line):
            yield from _of(bodies, called, times * (_turns(line) if how == "body" else 1))


def _turns(line: str) -> int:
    match = TURNS.search(line)
    if not match:
        raise ValueError(f"a loop whose turns are not known: {line.strip()[:200]}")
    return int(match[1])


def _group(line: str) -> int:
    """How many devices a collective is among; a permutation is between pairs."""
    if match := MESH.search(line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", match[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", match[2]))
    if match := LISTED.search(line):
        return len(match[1].split(","))
    if match := TILED.search(line):
        return int(match[1])
    return 2
