"""Data sets by the names of the command line, those of the user's own among them, and what of them decides a result.

    digits    iterated(times=4)    text(window=128)    cifar10
    npz:PATH    folder:PATH    text:PATH(window=128)    package.module:load

A function of one's own gives (images, labels), ((images, labels), (images, labels)) or a `Dataset`.
"""

import functools
import hashlib
import os
import pathlib
import re

from resjax import data
from resjax.lab import names, presets
from resjax.system.errors import UserError

KINDS = ("npz", "folder")
TEXT = re.compile(r"text(?P<of>:(?P<path>.*?))?\s*(?P<arguments>\(.*\))?", re.DOTALL)
OWN = re.compile(r"[\w.]+:[A-Za-z_]\w*\s*(\(.*\))?", re.DOTALL)  # package.module:load; a version of TFDS is a number


def load(name: str, data_dir: str, wanted: "data.Wanted") -> "data.Dataset":
    """The data set of this name.

    Raises:
      UserError: there is none, it is not prepared, or it is not what a data set must be.
    """
    try:
        if text := _text(name):
            return _of_text(name, *text, wanted)
        if path := _path(name):
            return _of_files(name.partition(":")[0], path, wanted)
        if OWN.fullmatch(name):
            return data.given(names.build(name, "dataset", {}), name, wanted.train, wanted.test)
        if (built_in := name.partition("(")[0].strip()) in data.BUILT_IN:
            if wanted.train or wanted.test:
                raise UserError(f"{built_in} has no splits to choose from: leave out train_split and test_split")
            return names.build(name, "dataset", data.BUILT_IN)
        return data.load(name, data_dir, wanted.image_size, wanted.workers, wanted.train, wanted.test)
    except data.NotPrepared as error:
        command = f"python -m resjax.prepare --dataset={error.name} --data_dir={error.data_dir}"
        raise UserError(f"{error.what}: prepare it with: {command}") from error
    except UserError:  # an example that cannot be read is one, and a ValueError
        raise
    except (TypeError, ValueError) as error:
        near = names.perhaps(name, [*data.BUILT_IN, *presets.IMAGES]) if "unknown" in str(error) else ""
        raise UserError(f"{error}{near}") from error


def content(name: str) -> str:
    """What decides a result of a data set of this name: of files what is in them, not where they are.

    A text is its bytes, that of Python, too, which changes with Python.

    Raises:
      UserError: they are not there.
    """
    if text := _text(name):
        return f"text:{_digest(text[0])}{text[1]}"
    path = _path(name)
    return f"{name.partition(':')[0]}:{_checksum(path)}" if path else name


def record(name: str) -> dict[str, str]:
    """What a record says of a data set beside its name: the content, where the name does not decide it."""
    found = content(name)
    return {} if found == name else {"content": found}


def is_text(name: str) -> bool:
    """Whether it is a text, whose losses are told in bits a byte."""
    return re.split(r"[:(]", name)[0] == "text"


def is_code(name: str) -> bool:
    """Whether it names a function of the user's own."""
    return not _text(name) and not _path(name) and bool(OWN.fullmatch(name))


def _text(name: str) -> tuple[str, str] | None:
    """Of a text the path, which is "" for that of Python, and the arguments."""
    match = TEXT.fullmatch(name)
    if not match:
        return None
    if match["of"] and not match["path"]:
        raise UserError(f"--dataset={name}: must be text or text:PATH")
    return os.path.expanduser(match["path"] or ""), match["arguments"] or ""


def _path(name: str) -> pathlib.Path | None:
    """The file or the folder that is named."""
    kind, _, path = name.partition(":")
    if kind not in KINDS:
        return None
    if not path:
        raise UserError(f"--dataset={name}: must be {kind}:PATH")
    return pathlib.Path(path).expanduser()


def _of_files(kind: str, path: pathlib.Path, wanted: "data.Wanted") -> "data.Dataset":
    if kind == "npz":
        return data.npz(path, wanted.train, wanted.test)
    return data.folder(path, wanted)


def _of_text(name: str, path: str, arguments: str, wanted: "data.Wanted") -> "data.Dataset":
    if wanted.train or wanted.test:
        raise ValueError(f"{name} has no splits to choose from: leave out train_split and test_split")
    _digest(path)  # that it can be read
    return names.build(f"text{arguments}", "dataset", {"text": data.text}, path=path)


@functools.cache
def _digest(path: str) -> str:
    """Of a text."""
    try:
        return data.text_digest(path)
    except ValueError as error:
        raise UserError(f"{error}") from error


@functools.cache
def _checksum(path: pathlib.Path) -> str:
    """Of a file, or of all files in a folder and their names."""
    total = hashlib.sha256()
    try:
        for file in sorted(_files(path)):
            with open(file, "rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            total.update(f"{digest} {file.relative_to(path).as_posix()}\n".encode())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    return total.hexdigest()


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    if path.is_file():
        return [path]
    found = ((inner, name) for inner, _, files in os.walk(path, followlinks=True) for name in files)
    return [pathlib.Path(inner, name) for inner, name in found if not name.startswith(".")]
