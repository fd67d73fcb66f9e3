"""From a name on the command line to the object it stands for.

Every choice in resjax is a name, possibly with arguments, or a path to somebody's own class:

    residual      scaled(beta=0.1)      my_fork.highway:Highway(bias=-3)

Arguments are Python literals and are never evaluated. What they may be says the factory (`resjax.nn.arguments`).
"""

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from resjax.lab import own
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
    foreign = ":" in name
    factory = own.load(name, kind) if foreign else table.get(name)
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
    except Exception as error:
        hint = f"; {name} takes {_listed(taken)}" if taken is not None and (arguments or not foreign) else ""
        raise UserError(f"{kind} {text!r}: {own.explained(error, {text: wanted})}{hint}") from error
    if foreign and not accepts(found):
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
    return tuple(outside(text, ","))


def outside(text: str, separator: str) -> Iterator[str]:
    """The parts of a text between separators that stand in no parentheses, without the spaces around them."""
    depth = 0
    part = ""
    for letter in f"{text}{separator}":
        depth += (letter == "(") - (letter == ")")
        if letter == separator and depth <= 0:
            if part.strip():
                yield part.strip()
            part = ""
        else:
            part += letter
    if part.strip():  # of parentheses that nobody closes
        yield part.removesuffix(separator).strip()


def perhaps(word: str, known: Collection[str]) -> str:
    """`, perhaps NAME` where a known name is near, in whatever case it is written."""
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1)
    return f", perhaps {lower[near[0]]}" if near else ""


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
