"""Files that are there whole or not at all."""

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
