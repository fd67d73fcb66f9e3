"""What a compiled program is made of, from XLA's text of it: the operations that run, their FLOPs and their bytes."""

import dataclasses
import math
import re
from collections.abc import Mapping

from benchmarks.hlo_types import bytes_of, computations, sizes

INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%(?P<name>[\w.\-]+) = (?P<shape>.+?) (?P<opcode>[a-z][\w\-]*)\((?P<rest>.*)$")
STILL = {
    "while",
    "conditional",
    "call",
    "tuple",
    "get-tuple-element",
    "parameter",
    "constant",
    "bitcast",
}  # move nothing
SLICING = {"slice", "dynamic-slice", "gather"}  # these read as much of their first operand as they give


@dataclasses.dataclass(frozen=True)
class Operation:
    """One instruction of a program."""

    name: str
    opcode: str  # convolution, if there is one in a fusion
    path: str  # JAX's name of what it was traced from: functions and modules, from the outermost
    flops: int  # of convolutions and products; of others 0
    bytes: int  # that it reads and writes, if all is read once; of an array that it slices, those of the slice


def operations(text: str) -> dict[str, Operation]:
    """Those of a program's text (`compiled.as_text()`), by name. A fusion counts for all that stands in it."""
    _, lines = computations(text)
    inside = {name: [match for line in own if (match := INSTRUCTION.match(line))] for name, own in lines.items()}
    found = [match for own in inside.values() for match in own]
    shapes = {match["name"]: match["shape"] for match in found}
    return {match["name"]: _operation(match, shapes, inside) for match in found}


def _operation(match: re.Match, shapes: Mapping[str, str], inside: Mapping[str, list[re.Match]]) -> Operation:
    called = re.search(r"calls=%([\w.\-]+)", match["rest"])
    parts = inside[called[1]] if called else [match]
    taken = [part["name"] for part in parts if part["opcode"] == "parameter"] if called else _operands(match)
    opcode = "convolution" if "convolution" in {part["opcode"] for part in parts} else match["opcode"]
    flops = sum(_flops(part, shapes) for part in parts)
    path = re.search(r'op_name="([^"]*)"', match["rest"])
    moved = 0
    if match["opcode"] not in STILL:
        moved = sum(_read(name, parts, shapes) for name in set(taken)) + _written(parts[-1]["name"], parts, shapes)
    return Operation(match["name"], opcode, path[1] if path else "", flops, moved)


def _operands(match: re.Match) -> list[str]:
    """The names of what an instruction takes."""
    return re.findall(r"%([\w.\-]+)", match["rest"].partition(")")[0])


def _read(name: str, parts: list[re.Match], shapes: Mapping[str, str]) -> int:
    """Bytes of an array that these instructions read; what a part of it is replaced in they do not read."""
    found = 0
    for part in parts:
        for at, one in enumerate(_operands(part)):
            if one != name or (at == 0 and part["opcode"] == "dynamic-update-slice"):
                continue
            found += bytes_of(part["shape"] if at == 0 and part["opcode"] in SLICING else shapes[name])
    return min(found, bytes_of(shapes[name]))


def _written(name: str, parts: list[re.Match], shapes: Mapping[str, str]) -> int:
    """Bytes of a result of these instructions; where it is an array that a part is replaced in, of that part."""
    part = next((part for part in parts if part["name"] == name), None)
    if part and part["opcode"] in ("tuple", "bitcast"):
        return sum(_written(one, parts, shapes) for one in _operands(part))
    return bytes_of(shapes[_operands(part)[1] if part and part["opcode"] == "dynamic-update-slice" else name])


def _flops(match: re.Match, shapes: Mapping[str, str]) -> int:
    """Two for each product: of every element of the result as many as there are summands."""
    if match["opcode"] == "convolution":
        kernel = sizes(shapes[_operands(match)[1]])
        labels = re.search(r"dim_labels=\w+_(\w+)->", match["rest"])
        assert labels
        return 2 * math.prod(sizes(match["shape"])) * math.prod(kernel) // kernel[labels[1].index("o")]
    if match["opcode"] == "dot":
        contracted = re.search(r"lhs_contracting_dims={([0-9,]+)}", match["rest"])
        assert contracted
        summed = [sizes(shapes[_operands(match)[0]])[int(axis)] for axis in contracted[1].split(",")]
        return 2 * math.prod(sizes(match["shape"])) * math.prod(summed)
    return 0
