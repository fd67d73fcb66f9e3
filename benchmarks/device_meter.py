"""From what is planned to the rows of `accelerator`: each case is measured at most once, also where it fails."""

import functools
from collections.abc import Callable
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
        self._found: dict[Case, dict[str, Any] | str] = {}

    def row(self, planned: Measurement) -> dict[str, Any]:
        """A row of the table; of what exhausts the memory, or fails on this device, with a note."""
        case, other = planned.case, planned.to
        row = {"group": planned.group, "device": jax.devices()[0].device_kind} | case.named
        if other:
            row |= {"ratio_of": planned.of, "ratio_to": label(other)}
        own = self._measured(case)
        if isinstance(own, str):
            return row | {"note": own}
        row |= own
        against: dict[str, tuple[Case, Callable[[dict[str, Any]], float]]] = {}
        rate = 1e12 * own["gigaflop"] / own["step_milliseconds"]
        against["matrix_share"] = Product(self._matrix, row["dtype"]), lambda theirs: rate / theirs["per_second"]
        if other:
            each = own[planned.of] / row["networks"]
            against["ratio"] = other, lambda theirs: each / (theirs[planned.of] / other.named["networks"])
        missing = []
        for column, (of, compared) in against.items():
            theirs = self._measured(of)
            if isinstance(theirs, str):
                missing.append(f"no {column}, for {label(of)}: {theirs}")
            else:
                row[column] = compared(theirs)
        return row | ({"note": "; ".join(missing)} if missing else {})

    def _measured(self, case: Case) -> dict[str, Any] | str:
        """Its columns, or why there are none."""
        if case not in self._found:
            try:
                self._found[case] = case.measure(self._pace)
            except RuntimeError as error:  # JAX's or PyTorch's; it holds arrays of the device, so its text is kept
                self._found[case] = _said(error)
        return self._found[case]


def _said(error: RuntimeError) -> str:
    if memory.exhausted(error):
        return f"the memory is exhausted, {memory.asked(error)} asked for"
    return (str(error) or type(error).__name__).splitlines()[0]
