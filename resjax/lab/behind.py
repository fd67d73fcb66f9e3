"""The experiment behind `--`, which another command is to run: what it would refuse there, it refuses at once."""

import importlib
from collections.abc import Sequence

from resjax.system.errors import UserError

HELP = ("help", "h")  # flags that no experiment can be given here, for it would run nothing


def check(command: Sequence[str], *decided: str) -> None:
    """Plans the experiment, and trains nothing; `decided` are flags that it cannot be given here.

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
        if word.startswith("-") and word.lstrip("-").partition("=")[0] in {*HELP, *decided}:
            raise UserError(f"-- {module} {word}: cannot be given here")
        if word.startswith("--mesh="):  # whose devices are there, not here
            from resjax.system import sharding  # and JAX, which `--help` does not need

            sharding.asked(word.partition("=")[2])
    study.check([word for word in words if not word.startswith("--mesh=")])
