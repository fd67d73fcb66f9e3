"""XLA's text of a program, as far as all that reads it agree: the computations in it, and the sizes of arrays."""

import math
import re

COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
ARRAY = re.compile(r"\b([a-z]+)(\d*)\w*\[([\d,]*)\]")  # as f32[8,1024], f8e4m3fn[8] or pred[]
BITS = {"pred": 8, "token": 0}  # of an element, where its name does not say them


def computations(text: str) -> tuple[str, dict[str, list[str]]]:
    """The name of the computation that the program is, and the lines of every one, by name."""
    found: dict[str, list[str]] = {}
    entry = ""
    lines: list[str] = []
    for line in text.splitlines():
        if match := COMPUTATION.match(line):
            lines = found.setdefault(match[2], [])
            entry = match[2] if match[1] else entry
        else:
            lines.append(line)
    return entry, found


def sizes(shape: str) -> list[int]:
    """Of the axes of an array, as f32[8,1024]."""
    match = ARRAY.search(shape)
    return _numbers(match[3]) if match else []


def bytes_of(shape: str) -> int:
    """Of an array, or of all arrays of a tuple, as (f32[8], pred[]).

    Raises:
      ValueError: an element of a type whose bits are not known.
    """
    total = 0
    for kind, bits, axes in ARRAY.findall(shape):
        if not (bits or kind in BITS):
            raise ValueError(f"{kind}[{axes}]: the bits of an element are not known")
        total += math.ceil(int(bits or BITS[kind]) * math.prod(_numbers(axes)) / 8)
    return total


def _numbers(axes: str) -> list[int]:
    return [int(size) for size in axes.split(",") if size]
