"""How the torture runs an experiment, in processes of its own or in this one."""

import contextlib
import dataclasses
import functools
import importlib
import io
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import traceback
from unittest import mock

from resjax.lab import flags
from resjax.lab.study import Study
from resjax.system import interrupts
from resjax.system.errors import Failure
from tests.torture.verdicts import Ended, differs, unsound

STEPS = 400
NETWORKS = 2
NETWORK = ("--width=8", "--norms=batch", "--learning_rate=0.05", f"--steps={STEPS}")
COMMAND = ("depth_scaling", "--depths=4,8", "--connections=residual", "--checkpoint_every=50", *NETWORK)
ROOT = pathlib.Path(__file__).parents[2]
LIMIT = 300  # seconds after which a run counts as hanging
MORTAL = ("setpriv", "--bounding-set=-dac_override")  # gives up root's right to write where nobody may


@dataclasses.dataclass(frozen=True, eq=False)
class Commands:
    """Starts commands, and keeps their work directories apart, all in `scratch`, `together` of them at a time."""

    scratch: pathlib.Path
    together: int = 1
    _numbers: itertools.count = dataclasses.field(default_factory=lambda: itertools.count(1))

    @property
    def compiled(self) -> pathlib.Path:
        """Where they keep compiled programs for each other."""
        return self.scratch / "compiled"

    def folder(self, name: str) -> pathlib.Path:
        """A place for a work directory that nothing else has."""
        return self.scratch / f"{name}-{next(self._numbers)}"

    def start(self, workdir: pathlib.Path, *more: str, command=COMMAND, cached=True, mortal=False) -> subprocess.Popen:
        """Starts an experiment there.

        Args:
          workdir: its work directory.
          more: flags.
          command: its name and flags.
          cached: whether it finds in one common place what earlier ones have compiled; else in its store.
          mortal: whether it, too, may not write where nobody may, though it is root's.
        """
        name, *given = command
        prefix = MORTAL if mortal and os.geteuid() == 0 else ()
        environment = dict(os.environ)
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", f"experiments.{name}", *given, *more, f"--workdir={workdir}"],
            cwd=ROOT,
            env=environment | ({"JAX_COMPILATION_CACHE_DIR": str(self.compiled)} if cached else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def end(self, process: subprocess.Popen) -> Ended:
        """Waits for a command."""
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err = f"hangs\n{err}"
        return Ended(process.returncode, out, err)

    def run(self, workdir: pathlib.Path, *more: str, **options) -> Ended:
        """Starts an experiment (see `start`) and waits for it."""
        return self.end(self.start(workdir, *more, **options))

    @functools.cache  # noqa: B019 (there is one)
    def reference(self, *more: str) -> pathlib.Path:
        """The work directory of an undisturbed run with these flags, which keeps its compiled programs there.

        Raises:
          Failure: it does not run, or a second run does not give the same.
        """
        first = self.folder("reference")
        second = self.folder("reference")
        for workdir in (first, second):
            ended = self.run(workdir, *more, cached=workdir == second)
            if ended.code or ended.err:
                raise Failure(f"an undisturbed run ends with code {ended.code}: {ended.err}")
        if fault := differs(second, first) or unsound(first):
            raise Failure(f"two undisturbed runs differ in {fault}: nothing can be compared with them")
        return first


def study(experiment: str) -> Study:
    """An experiment, by its name."""
    return importlib.import_module(f"experiments.{experiment}").STUDY


def here(experiment: str, *arguments: str) -> Ended:
    """What `Commands.run` does, in this process: sooner done."""
    own = study(experiment)
    usual = {number: signal.getsignal(number) for number in interrupts.STOPPING}
    code = 0
    with (
        mock.patch("resjax.training.compilation.keep", lambda folder: None),  # for the rest of this process
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            flags.main(own.config, own.run, own.module, [experiment, *arguments])
        except SystemExit as leaving:
            code = leaving.code
        except Exception:
            traceback.print_exc()
            code = 1
        finally:
            for number, handler in usual.items():
                signal.signal(number, handler)
    return Ended(code, out.getvalue(), err.getvalue())
