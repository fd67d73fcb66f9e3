"""What is the user's own, package.module:Name: how it is loaded, and whose fault an error is."""

import importlib
import pathlib
import sys
import traceback
import types
from collections.abc import Collection, Mapping
from typing import Any

from resjax.system.errors import UserError


def load(path: str, kind: str) -> Any:
    """What package.module:Name leads to.

    Raises:
      UserError: it does not import, or there is none of this name.
    """
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:  # "", "..x": what cannot be the name of a module
        raise UserError(f"{kind} {path!r}: cannot import {module_name}: {error}") from error
    except Exception as error:  # in the module itself
        where = "" if isinstance(error, SyntaxError) else f" ({_place(_frames(error)[-1])})"  # which says it itself
        line = f"{type(error).__name__}: {error}{where}"
        raise UserError(f"{kind} {path!r}: cannot import {module_name}: {line}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UserError(f"{kind} {path!r}: {module_name} has no {attribute!r}") from None


def raised_by(error: BaseException, texts: Collection[str]) -> list[str]:
    """From which of the texts package.module:Name(arguments) an error comes: where it was raised, or whom it names."""
    frames = _frames(error)
    for text in texts:
        if any(_is_of(frame, text) and frame.f_code.co_qualname.split(".")[0] == _name(text) for frame in frames):
            return [text]
    there = [text for text in texts if any(_is_of(frame, text) for frame in frames)]
    named = there or [text for text in texts if _name(text) in str(error)]
    return named or ([] if isinstance(error, ValueError) else list(texts))  # which is how resjax itself refuses


def explained(error: BaseException, wanted: Mapping[str, str]) -> str:
    """The first line of an error, for a message, and where it came from.

    `wanted` says, by text, what each of the user's own must be: an error that was not raised in one of their modules
    was probably raised where one was called in a way that it does not take.
    """
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    if not isinstance(error, (TypeError, ValueError)):
        line = f"{type(error).__name__}: {line}"
    frames = [frame for frame in _frames(error) if any(_is_of(frame, text) for text in wanted)]
    if frames:
        return f"{line} ({_place(frames[-1])})"
    hint = " and ".join(text for own, text in wanted.items() if ":" in own)
    return f"{line}; it must be {hint}" if hint and not isinstance(error, ValueError) else line


def _frames(error: BaseException) -> list[types.FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _is_of(frame: types.FrameType, text: str) -> bool:
    """Whether a frame is in the module of package.module:Name."""
    module, colon, _ = text.partition("(")[0].partition(":")
    return bool(colon) and frame.f_code.co_filename == getattr(sys.modules.get(module.strip()), "__file__", None)


def _name(text: str) -> str:
    return text.partition("(")[0].rpartition(":")[2].strip()


def _place(frame: types.FrameType) -> str:
    return f"{pathlib.Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
