"""What a compiled program is made of, from XLA's text of it: the operations that run, their FLOPs and their bytes."""

import collections
import dataclasses
import math
import re
from collections.abc import Mapping

INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%(?P<name>[\w.\-]+) = (?P<shape>.+?) (?P<opcode>[a-z][\w\-]*)\((?P<rest>.*)$")
COMPUTATION = re.compile(r"^(?:ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
ARRAY = re.compile(r"(?P<dtype>[a-z]+[0-9]*)\[(?P<sizes>[0-9,]*)\]")
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One instruction of a program."""

    name: str
    opcode: str  # convolution, if there is one in a fusion
    path: str  # JAX's name of what it was traced from: functions and modules, from the outermost
    flops: int  # of convolutions and products; of others 0
    bytes: int  # of what it reads and writes, if every operand is read once


def operations(text: str) -> dict[str, Operation]:
    """Those of a program's text (`compiled.as_text()`), by name. A fusion counts for all that stands in it."""
    found = []
    inside: dict[str, list[re.Match]] = collections.defaultdict(list)
    computation = ""
    for line in text.splitlines():
        if match := COMPUTATION.match(line):
            computation = match["name"]
        elif match := INSTRUCTION.match(line):
            found.append(match)
            inside[computation].append(match)
    shapes = {match["name"]: match["shape"] for match in found}
    return {match["name"]: _operation(match, shapes, inside) for match in found}


def _operation(match: re.Match, shapes: Mapping[str, str], inside: Mapping[str, list[re.Match]]) -> Operation:
    called = re.search(r"calls=%([\w.\-]+)", match["rest"])
    parts = [match, *(inside[called[1]] if called else ())]
    opcodes = [part["opcode"] for part in parts]
    opcode = "convolution" if "convolution" in opcodes else opcodes[0]
    flops = sum(_flops(part, _operands(part, shapes)) for part in parts)
    path = re.search(r'op_name="([^"]*)"', match["rest"])
    operands = _operands(match, shapes)
    size = sum(map(_bytes, [match["shape"], *operands]))
    if "dynamic" in match["name"]:  # reads or writes a slice of a larger array, which is one of its operands
        size = 2 * min(map(_bytes, [match["shape"], *operands[1:]]), default=0)
    return Operation(match["name"], opcode, path[1] if path else "", flops, size)


def _operands(match: re.Match, shapes: Mapping[str, str]) -> list[str]:
    """The shapes of what an instruction takes."""
    return [shapes[name] for name in re.findall(r"%([\w.\-]+)", match["rest"].partition(")")[0]) if name in shapes]


def _flops(match: re.Match, operands: list[str]) -> int:
    """Two for each product: of every element of the result as many as there are summands."""
    if match["opcode"] == "convolution":
        kernel = _sizes(operands[1])
        labels = re.search(r"dim_labels=\w+_(\w+)->", match["rest"])
        assert labels
        return 2 * math.prod(_sizes(match["shape"])) * math.prod(kernel) // kernel[labels[1].index("o")]
    if match["opcode"] == "dot":
        contracted = re.search(r"lhs_contracting_dims={([0-9,]+)}", match["rest"])
        assert contracted
        summed = [_sizes(operands[0])[int(axis)] for axis in contracted[1].split(",")]
        return 2 * math.prod(_sizes(match["shape"])) * math.prod(summed)
    return 0


def _sizes(shape: str) -> list[int]:
    match = ARRAY.search(shape)
    return [int(size) for size in match["sizes"].split(",") if size] if match else []


def _bytes(shape: str) -> int:
    """Of an array, or of all arrays of a tuple."""
    return sum(
        BYTES.get(array["dtype"], 4) * math.prod(int(size) for size in array["sizes"].split(",") if size)
        for array in ARRAY.finditer(shape)
    )
