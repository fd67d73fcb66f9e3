"""From a name on the command line to the object it stands for.

Every choice in resjax is a name, possibly with arguments, or a path to somebody's own class:

    residual      scaled(beta=0.1)      my_fork.highway:Highway(bias=-3)

Arguments are Python literals and are never evaluated. What they may be says the factory (`resjax.nn.arguments`).
"""

import ast
import difflib
import importlib
import inspect
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any

from resjax.nn import arguments as declared
from resjax.system.errors import UserError

HIDDEN = frozenset({"parent", "name"})  # of Linen's modules
_CALL = re.compile(r"(?P<name>[\w.:]+)\s*(?:\((?P<arguments>.*)\))?", re.DOTALL)


def build(
    text: str,
    kind: str,
    table: Mapping[str, Callable[..., Any]],
    *,
    wanted: str = "",
    accepts: Callable[[Any], bool] = lambda found: True,
    reserved: Collection[str] = (),
    **context: Any,
) -> Any:
    """`table[name](**context, **arguments)` for the text `name(arguments)`.

    Args:
      text: a name of the table, or `package.module:Name`, with optional keyword arguments.
      kind: what is being named, for the error message ("connection").
      table: the known names.
      wanted: what somebody's own must be, for the error message ("a resjax.nn.Connection").
      accepts: whether what somebody's own gives is that.
      reserved: arguments that only the program gives.
      **context: what the program knows and the command line does not say (a depth, a width).

    Raises:
      UserError: an unknown name (the message lists the known ones), a module that does not import, arguments that are
        no literals or that the object does not take, or an object of another kind.
    """
    name, arguments = parse(text, kind)
    own = ":" in name
    factory = _import(name, kind) if own else table.get(name)
    if factory is None:
        known = ", ".join([*table, "package.module:Name"])
        raise UserError(f"unknown {kind} {name!r}{perhaps(name, table)}: known are {known}")
    taken = None
    try:
        taken = _taken(factory, {*reserved, *context})
        _check(factory, arguments, taken)
        found = factory(**context, **arguments)
    except UserError:
        raise
    except (Exception if own else (TypeError, ValueError)) as error:
        hint = f"; {name} takes {_listed(taken)}" if taken is not None and (arguments or not own) else ""
        raise UserError(f"{kind} {text!r}: {explained(error, {text: wanted})}{hint}") from error
    if own and not accepts(found):
        given = f"the class {found.__name__}" if isinstance(found, type) else f"{type(found).__name__}"
        raise UserError(f"{kind} {text!r}: must give {wanted}, not {given}")
    return found


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


def split(text: str) -> tuple[str, ...]:
    """Splits a comma-separated list of names; commas inside parentheses do not count."""
    return tuple(part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip())


def perhaps(word: str, known: Collection[str]) -> str:
    """`, perhaps NAME` where a known name is near, in whatever case it is written."""
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1)
    return f", perhaps {lower[near[0]]}" if near else ""


def raised_by(error: BaseException, own: Collection[str]) -> list[str]:
    """Which of the user's own, package.module:Name, an error comes from: where it was raised, else whom it names."""
    modules = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    by_file = {text: modules[::-1].index(file) for text in own if (file := _file(text)) in modules}
    nearest = min(by_file.values(), default=0)
    return [text for text, place in by_file.items() if place == nearest] or [
        text for text in own if parse(text, "value")[0].rpartition(":")[2] in str(error)
    ]


def explained(error: BaseException, own: Mapping[str, str]) -> str:
    """The first line of an error, for a message, and where it came from.

    `own` says of the user's own, by the text package.module:Name, what it must be: if it was not in one of these
    modules that the error was raised, it was probably where one was called in a way that it does not take.
    """
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    if not isinstance(error, (TypeError, ValueError)):
        line = f"{type(error).__name__}: {line}"
    files = {_file(text) for text in own if ":" in text}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if frames:
        return f"{line} ({_place(frames[-1])})"
    wanted = " and ".join(filter(None, own.values())) if not isinstance(error, ValueError) else ""
    return f"{line}; it must be {wanted}" if wanted else line


def _file(text: str) -> str | None:
    """That of the module which a text package.module:Name names."""
    return getattr(sys.modules.get(parse(text, "value")[0].partition(":")[0]), "__file__", None)


def _place(frame: traceback.FrameSummary) -> str:
    return f"{pathlib.Path(frame.filename).name}, line {frame.lineno}"


def _taken(factory: Callable[..., Any], given: Collection[str]) -> dict[str, inspect.Parameter] | None:
    """The arguments that a name may have, all literals; None where it does not say, or may have any."""
    known = declared.parameters(factory)
    if known is None or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values()):
        return None
    return {name: one for name, one in known.items() if declared.written(one) and name not in HIDDEN.union(given)}


def _check(
    factory: Callable[..., Any], arguments: Mapping[str, Any], taken: Mapping[str, inspect.Parameter] | None
) -> None:
    strange = sorted(arguments.keys() - taken.keys()) if taken is not None else []
    if strange:
        raise ValueError(f"no argument {strange[0]!r}{perhaps(strange[0], taken or ())}")
    declared.check(factory, arguments)


def _listed(taken: Mapping[str, inspect.Parameter]) -> str:
    """What a name takes, with defaults."""
    words = [one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in taken.values()]
    return ", ".join(words) or "no arguments"


def _import(path: str, kind: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, ValueError) as error:  # "", "..x": what cannot be the name of a module
        raise UserError(f"{kind} {path!r}: cannot import {module_name}: {error}") from error
    except AttributeError as error:
        if module_name in sys.modules:
            raise UserError(f"{kind} {path!r}: {module_name} has no {attribute!r}") from None
        raise UserError(f"{kind} {path!r}: cannot import {module_name}: {_raised(error)}") from error
    except Exception as error:  # in the module itself
        raise UserError(f"{kind} {path!r}: cannot import {module_name}: {_raised(error)}") from error


def _raised(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, SyntaxError) else f" ({_place(last)})"  # which says it itself
    return f"{type(error).__name__}: {error}{where}"
