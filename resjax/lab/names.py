"""From a name on the command line to the object it stands for.

Every choice in resjax is a name, possibly with arguments, or a path to somebody's own class:

    residual      scaled(beta=0.1)      my_fork.highway:Highway(bias=-3)

Arguments are Python literals and are never evaluated.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from resjax.system.errors import UserError

TYPES = {bool: (bool,), int: (int,), float: (float, int), str: (str,)}  # of an argument: what it takes
_CALL = re.compile(r"(?P<name>[\w.:]+)\s*(?:\((?P<arguments>.*)\))?", re.DOTALL)


def build(text: str, kind: str, table: Mapping[str, Callable[..., Any]], **context: Any) -> Any:
    """`table[name](**context, **arguments)` for the text `name(arguments)`.

    Args:
      text: a name of the table, or `package.module:Name`, with optional keyword arguments.
      kind: what is being named, for the error message ("connection").
      table: the known names.
      **context: what the program knows and the command line does not say (a depth, a width).

    Raises:
      UserError: an unknown name (the message lists the known ones), a module that does not
        import, or arguments that are no literals or that the object does not take.
    """
    name, arguments = parse(text, kind)
    factory = _import(name, kind) if ":" in name else table.get(name)
    if factory is None:
        known = ", ".join([*table, "package.module:Name"])
        raise UserError(f"unknown {kind} {name!r}: known are {known}")
    try:
        _check_types(factory, arguments)
        return factory(**context, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{kind} {text!r}: {error}") from error


def parse(text: str, kind: str) -> tuple[str, dict]:
    """Splits `name(key=literal, …)` into the name and its keyword arguments."""
    match = _CALL.fullmatch(text.strip())
    if not match:
        raise UserError(f"{kind} {text!r} is not of the form name or name(key=value)")
    try:
        call = ast.parse(f"f({match['arguments'] or ''})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("positional")
        return match["name"], {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError):
        raise UserError(f"{kind} {text!r}: arguments must be key=literal, as in name(beta=0.1)") from None


def _check_types(factory: Callable[..., Any], arguments: dict[str, Any]) -> None:
    known = inspect.signature(factory).parameters if arguments else {}
    for name, value in arguments.items():
        wanted = known[name].annotation if name in known else None
        if wanted in TYPES and type(value) not in TYPES[wanted]:
            raise ValueError(f"{name} must be of type {wanted.__name__}, not {value!r}")


def split(text: str) -> tuple[str, ...]:
    """Splits a comma-separated list of names; commas inside parentheses do not count."""
    return tuple(part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip())


def _import(path: str, kind: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, TypeError, ValueError) as error:  # "", "..x": what cannot be the name of a module
        raise UserError(f"{kind} {path!r}: cannot import {module_name}: {error}") from error
    except AttributeError:
        raise UserError(f"{kind} {path!r}: {module_name} has no {attribute!r}") from None
