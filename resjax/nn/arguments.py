"""What an argument may be, said where it is declared and checked when it is given.

    class Leaky(Checked, nn.Module):
        slope: Annotated[float, Range(least=0, below=1)] = 0.1

    @checked
    def ramp(peak: float, steps: int, start: Share = 0.1): ...

What is checked says `resjax.nn.kinds`. No JAX here.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from resjax.nn.kinds import LITERALS, fault

P = ParamSpec("P")
R = TypeVar("R")


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
        kind: Any = type(self)
        names = [name for name in parameters(kind) or () if name not in ("parent", "name")]
        check(kind, {name: getattr(self, name) for name in names})
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
