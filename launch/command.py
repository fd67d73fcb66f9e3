"""The checkout that an experiment behind `--` comes from: other machines get the last commit of it."""

import importlib.util
import os
import pathlib
import re
import subprocess

from resjax.system.errors import UserError

ROOT = str(pathlib.Path(__file__).parent.parent)
OBJECT = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]")  # package.module:Name, in the value of a flag

FILES = re.compile(r"--dataset=(npz|folder|text):([^\s(]+)")


def check_committed(command: tuple[str, ...]) -> None:
    """Raises UserError if the last commit, which other machines get, lacks what the command names and is not installed:
    its experiment, code, or files of data."""
    for name, path in FILES.findall(" ".join(command)):
        if os.path.isabs(path) or not git("ls-tree", "HEAD", "--", path):
            raise UserError(f"{name}:{path}: is not in the last commit: the other machines have no other files")
    for module in (*command[:1], *OBJECT.findall(" ".join(command))):
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
