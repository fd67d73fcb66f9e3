"""Whether a value is of a kind: of the type of a literal, of `Literal`, of a tuple or union of these, within a `Range`.

What has another type, or is an array, passes. No JAX here.
"""

import collections.abc
import dataclasses
import inspect
import math
import numbers
import sys
import types
import typing
from typing import Annotated, Any, Literal

NUMBERS: dict[Any, tuple[type, str]] = {float: (numbers.Real, "a number"), int: (numbers.Integral, "a whole number")}
LITERALS = bool, int, float, complex, str, bytes, tuple, list, dict, set, type(None)
UNKNOWN = "jax", "jaxtyping", "numpy"  # whose classes stand for more than their instances


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that an argument may be."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def holds(self, value: float) -> bool:
        """Whether a number is one of them."""
        return bool(self.least <= value <= self.most and self.above < value < self.below)

    def __str__(self):
        if self.least == self.most:
            return f"{self.least:g}"
        ends = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {end:g}" for word, end in ends.items() if math.isfinite(end))


Count = Annotated[int, Range(least=1)]
Size = Annotated[int, Range(least=0)]
Axis = Annotated[int, Range(-1, 1)]  # of a matrix
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(least=0, below=1)]
Probability = Annotated[float, Range(above=0, most=1)]


def fault(kind: Any, value: Any) -> str:
    """What a value must be that is not of this kind; empty if it is, or if the kind is none that is checked."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(value, "dtype") and not isinstance(value, float):  # NumPy's own float is one
        return ""
    if origin is Annotated:
        limits = [limit for limit in inner[1:] if isinstance(limit, Range)]
        wanted = fault(inner[0], value)
        missed = " and ".join(str(limit) for limit in limits if wanted or not limit.holds(value))
        return ", ".join(filter(None, (wanted, missed)))
    if origin is Literal:
        words = ", ".join(map(repr, inner))
        return "" if value in inner else f"one of {words}" if len(inner) > 1 else words
    if origin in (typing.Union, types.UnionType):
        faults = [fault(each, value) for each in inner]
        return " or ".join(faults) if all(faults) else ""
    if origin is tuple:
        return _not_tuple(inner, value)
    return _not_instance(origin or kind, value)


def _not_tuple(inner: tuple[Any, ...], value: Any) -> str:
    several = len(inner) == 2 and inner[1] is Ellipsis
    if not isinstance(value, tuple) or not (several or len(value) == len(inner)):
        return "several in parentheses, as (1,)" if several else f"{len(inner)} in parentheses"
    kinds = inner[:1] * len(value) if several else inner
    wanted = filter(None, map(fault, kinds, value))
    return next((f"made of what is {each}" for each in wanted), "")


def _not_instance(kind: Any, value: Any) -> str:
    if isinstance(value, type) and isinstance(kind, type) and issubclass(value, kind):
        return f"made: {value.__name__}()"
    if kind in NUMBERS:
        known, name = NUMBERS[kind]
        right = isinstance(value, known) and not isinstance(value, bool)
        finite = right and (kind is int or abs(value) <= sys.float_info.max)
        return "" if finite else name
    if kind is bool:
        return "" if isinstance(value, bool) else "True or False"
    if kind is str:
        return "" if isinstance(value, str) else "a text in quotes"
    if kind is type(None):
        return "" if value is None else "None"
    if (
        kind in (Any, inspect.Parameter.empty)
        or not isinstance(kind, type)
        or kind.__module__.partition(".")[0] in UNKNOWN
    ):
        return ""
    if not isinstance(value, LITERALS) or isinstance(value, kind):
        return ""
    return "a function" if kind is collections.abc.Callable else f"of {kind.__name__}"
