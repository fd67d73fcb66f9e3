"""What an argument may be, said where it is declared and checked when it is given.

    class Leaky(Checked, nn.Module):
        slope: Annotated[float, Range(least=0, below=1)] = 0.1

    @checked
    def ramp(peak: float, steps: int, start: Share = 0.1): ...

The types that are checked are those of literals, `Literal`, tuples and unions of these, each with a `Range` if need be;
what has another type, or is an array, passes. No JAX here.
"""

import collections.abc
import contextlib
import dataclasses
import functools
import inspect
import math
import numbers
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

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


def check(factory: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuses arguments, by name, that are not what a function or a class declares.

    Raises:
      ValueError: one of them is not; the line says what it must be.
    """
    declared = parameters(factory) or {}
    for name, value in arguments.items():
        wanted = fault(declared[name].annotation, value) if name in declared else ""
        if wanted:
            raise ValueError(f"{name}={value!r}: must be {wanted}")


class Checked:
    """A dataclass or Linen module, as every part of a network here is, whose fields are checked when it is made."""

    def __post_init__(self):
        names = [name for name in parameters(type(self)) or () if name not in ("parent", "name")]
        check(type(self), {name: getattr(self, name) for name in names})
        getattr(super(), "__post_init__", lambda: None)()


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose arguments are checked when it is called; stands above `functools.cache`."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check(function, signature.bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return call


@functools.cache
def parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """What a function or a class takes, by name; None for what does not say, as in C."""
    for quoted in (True, False):  # annotations in quotes, unless they lead nowhere
        with contextlib.suppress(NameError, TypeError, ValueError, SyntaxError):
            return inspect.signature(factory, eval_str=quoted).parameters
    return None


def written(parameter: inspect.Parameter) -> bool:
    """Whether a literal can be given for it, as on a command line."""
    return parameter.default is parameter.empty or type(parameter.default) in LITERALS


def fault(kind: Any, value: Any) -> str:
    """What a value must be that is not of this kind; empty if it is, or if the kind is none that is checked."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(value, "dtype"):
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
        wanted = [fault(each, value) for each in inner]
        return " or ".join(wanted) if all(wanted) else ""
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
    if kind is Any or not isinstance(kind, type) or kind.__module__.partition(".")[0] in UNKNOWN:
        return ""
    if not isinstance(value, LITERALS) or isinstance(value, kind):
        return ""
    return "a function" if kind is collections.abc.Callable else f"of {kind.__name__}"
