"""From what is planned to the rows of `accelerator`: each case is measured at most once."""

import functools
from typing import Any

import jax

from benchmarks.device_cases import Case, Product, label
from benchmarks.device_plan import Measurement
from benchmarks.timing import paced
from resjax.lab import memory


class Meter:
    """Measures cases.

    Args:
      turns, seconds: see `paced`.
      matrix: the size of the matrices whose product is what the device can do.
    """

    def __init__(self, turns: int, seconds: float, matrix: int):
        self._pace = functools.partial(paced, turns=turns, seconds=seconds)
        self._matrix = matrix
        self._found: dict[Case, dict[str, Any]] = {}

    def row(self, planned: Measurement) -> dict[str, Any]:
        """A row of the table; of what exhausts the memory, or fails on this device, with a note."""
        case, other = planned.case, planned.to
        row = {"group": planned.group, "device": jax.devices()[0].device_kind} | case.named
        if other:
            row |= {"ratio_of": planned.of, "ratio_to": label(other)}
        try:
            row |= self._measured(case)
            rate = self._measured(Product(self._matrix, row["dtype"]))["per_second"]
            row["matrix_share"] = 1e12 * row["gigaflop"] / row["step_milliseconds"] / rate
            if other:
                ours = row[planned.of] / row["networks"]
                row["ratio"] = ours / (self._measured(other)[planned.of] / other.named["networks"])
        except RuntimeError as error:  # JAX's, or PyTorch's
            row["note"] = _said(error)
        return row

    def _measured(self, case: Case) -> dict[str, Any]:
        if case not in self._found:
            self._found[case] = case.measure(self._pace)
        return self._found[case]


def _said(error: RuntimeError) -> str:
    if memory.exhausted(error):
        return f"the memory is exhausted, {memory.asked(error)} asked for"
    return (str(error) or type(error).__name__).splitlines()[0]
