"""The checkout that an experiment behind `--` comes from: other machines get the last commit of it."""

import importlib.util
import os
import pathlib
import re
import subprocess

from resjax.system.errors import UserError

ROOT = str(pathlib.Path(__file__).parent.parent)
OBJECT = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]")  # package.module:Name, in the value of a flag


def check_committed(command: tuple[str, ...]) -> None:
    """Raises UserError if the last commit, which other machines get, lacks code that a flag names, not installed."""
    for module in OBJECT.findall(" ".join(command)):
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, AttributeError, ValueError):  # the experiment says more of it
            continue
        if spec and spec.has_location and "-packages/" not in spec.origin:
            path = os.path.relpath(spec.origin, ROOT)
            if git("show", f"HEAD:{path}") != pathlib.Path(spec.origin).read_bytes():
                raise UserError(f"{module}: {path} is not in the last commit as it is here: commit it first")


def git(*words: str) -> bytes:
    """What git prints about the checkout; nothing if it fails."""
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, check=False).stdout
