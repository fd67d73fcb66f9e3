"""Files that are there whole or not at all, and say so if they are no longer what was written."""

import hashlib
import json
import os
import pathlib
from typing import Any

from resjax.errors import Failure


def write(path: pathlib.Path, text: str):
    """Writes a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Failure(f"cannot write {path}: {error.strerror}") from error


def read_json(path: pathlib.Path) -> Any:
    """Reads a file that `write` wrote.

    Raises:
      Failure: it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Failure(f"{path} is damaged ({error}): remove it, or its folder, to make it again") from None


def seal(path: pathlib.Path, content: dict[str, Any]):
    """Writes a dictionary as JSON, with a checksum."""
    write(path, json.dumps(content | {"sha256": _checksum(content)}, indent=1))


def unseal(path: pathlib.Path) -> dict[str, Any]:
    """Reads a dictionary that `seal` wrote.

    Raises:
      Failure: it does not match its checksum.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("sha256", None) != _checksum(content):
        raise Failure(f"{path} is damaged: remove its folder to make it again")
    return content


def sha256(path: pathlib.Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checksum(content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
