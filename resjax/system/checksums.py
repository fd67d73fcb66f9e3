"""One SHA256SUMS a folder: a flipped bit in what was written there is named, and never used.

`sha256sum -c SHA256SUMS` checks a folder, too. The line of a file is written before the file, so that a process that is
killed between the two leaves a line too many and never one too few; until then the line of the old content stays.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from etils import epath

from resjax.system import files
from resjax.system.errors import Failure

NAME = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class Damaged(Failure):
    """A file that is not what was written; what is wrong, and what to do."""

    def __init__(self, fault: str, advice: str):
        super().__init__(f"{fault}: {advice}")
        self.fault = fault


Sums = dict[str, tuple[str, ...]]  # the checksums that a file may have, by its path in the folder


def sums(folder: epath.Path) -> Sums:
    """The lines of a folder's SHA256SUMS; none where it has no such file.

    Raises:
      Failure: it is damaged.
    """
    path = folder / NAME
    found: Sums = {}
    try:
        text = path.read_text() if path.exists() else ""
    except (OSError, ValueError) as error:
        raise _damaged(path, folder) from error
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if not match:
            raise _damaged(path, folder)
        found[match[2]] = (*found.get(match[2], ()), match[1])
    return found


def write(folder: epath.Path, name: str, content: str | bytes) -> None:
    """Writes a file of a folder whole or not at all, and its line."""
    content = content.encode() if isinstance(content, str) else content
    lines = sums(folder)
    before = lines.get(name, ())
    own = _sha256(content)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    _keep(folder, lines | {name: (*before, own)})
    files.write(folder / name, content)
    if before:
        _keep(folder, lines | {name: (own,)})


def read(folder: epath.Path, name: str) -> bytes:
    """What `write` wrote.

    Raises:
      Failure: it does not match its line, or has none. OSError: it is not there.
    """
    before = sums(folder).get(name, ())
    content = (folder / name).read_bytes()
    own = _sha256(content)
    if own not in before and own not in sums(folder).get(name, ()):  # looked at again: another process may have written
        raise _damaged(folder / name, folder)
    return content


def write_json(folder: epath.Path, name: str, content: Any) -> None:
    """Writes what JSON can hold (see `write`)."""
    write(folder, name, json.dumps(content, indent=1))


def read_json(folder: epath.Path, name: str) -> Any:
    """What `write_json` wrote (see `read`)."""
    return json.loads(read(folder, name))


def add(folder: epath.Path, names: Iterable[str]) -> None:
    """Writes the lines of files that are there, all at once."""
    _keep(folder, sums(folder) | {name: (_sha256((folder / name).read_bytes()),) for name in names})


def forget(folder: epath.Path, below: str) -> None:
    """Removes the lines of all files below a folder of the folder."""
    lines = sums(folder)
    kept = {name: own for name, own in lines.items() if not name.startswith(f"{below}/")}
    if kept != lines:
        _keep(folder, kept)


def fault(folder: epath.Path, below: str) -> str:
    """The first file below a folder of the folder that is missing, or does not match its line; empty if none."""
    listed = {name: own for name, own in sums(folder).items() if name.startswith(f"{below}/")}
    there = set(names(folder, below))
    for name in sorted({*listed, *there}):
        if name not in there or _sha256((folder / name).read_bytes()) not in listed.get(name, ()):
            return name
    return ""


def names(folder: epath.Path, below: str) -> Iterator[str]:
    """The files below a folder of the folder."""
    for path in (folder / below).iterdir() if (folder / below).is_dir() else ():
        name = f"{below}/{path.name}"
        if path.is_dir():
            yield from names(folder, name)
        else:
            yield name


def _keep(folder: epath.Path, lines: Sums) -> None:
    files.write(folder / NAME, "".join(f"{own}  {name}\n" for name, several in lines.items() for own in several))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _damaged(path: epath.Path, folder: epath.Path) -> "Damaged":
    return Damaged(f"{path} is damaged, it does not match {folder / NAME}", f"remove {folder} to make it again")
