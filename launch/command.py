"""The experiment behind `--`: what it would refuse on a machine that is paid for, it refuses here."""

import importlib.util
import os
import pathlib
import re
import subprocess

from resjax.system.errors import UserError

ROOT = str(pathlib.Path(__file__).parent.parent)
OBJECT = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]")  # package.module:Name, in the value of a flag


def check(command: tuple[str, ...], decided: str = "help") -> None:
    """Plans the experiment, and trains nothing; `decided` is a flag that it cannot be given here.

    Raises:
      UserError: there is no such experiment, or it refuses its flags.
    """
    if not command:
        raise UserError("give an experiment behind --, as in -- experiments.depth_scaling --depths=20,56")
    module, *words = command
    try:
        study = importlib.import_module(module).STUDY
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"-- {module}: is not an experiment: {error}") from None
    for word in words:
        if word.lstrip("-").partition("=")[0] in {"help", decided}:
            raise UserError(f"-- {module} {word}: cannot be given here")
    study.check(words)


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
