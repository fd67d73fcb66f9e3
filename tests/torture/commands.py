"""How `torture` runs an experiment: in processes of its own, watched through what they leave on disk."""

import contextlib
import importlib
import io
import itertools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from unittest import mock

import resjax
from launch import tethered
from resjax.system import interrupts
from resjax.system.errors import Failure

STEPS, POINTS = 400, 2
COMMAND = (
    "experiments.depth_scaling", "--depths=4,8", "--width=8", "--connections=residual", "--norms=batch",
    f"--steps={STEPS}", "--checkpoint_every=50",
)  # fmt: skip
TABLES = "results.csv", "curves.csv", "figure.png", "points/*/metrics.jsonl"  # equal to the last bit, run for run
POLL = 0.003  # seconds between looks at a work directory
LIMIT = 300  # seconds after which a run counts as hanging
MORTAL = """  # gives up root's right to write where nobody may, and becomes another command
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Commands:
    """Starts commands, and keeps their work directories apart.

    Args:
      scratch: where the work directories go.
      together: how many may run at a time.
      advance: called whenever something has been tried.
      say: called with a line for each that went wrong.
    """

    def __init__(self, scratch: pathlib.Path, together: int, advance: Callable[[], None], say: Callable[[str], None]):
        self.scratch, self.together, self.advance, self.say = scratch, together, advance, say
        self._numbers = itertools.count(1)

    @property
    def compiled(self) -> pathlib.Path:
        """Where they keep compiled programs for each other."""
        return self.scratch / "compiled"

    def folder(self, name: str) -> pathlib.Path:
        """A place for a work directory that nothing else has."""
        return self.scratch / f"{name}-{next(self._numbers)}"

    def start(self, workdir: pathlib.Path, *more: str, command=COMMAND, cached=True, mortal=False) -> subprocess.Popen:
        """Starts a command there.

        Args:
          workdir: its work directory.
          more: flags.
          command: its module and flags.
          cached: whether it finds in one common place what earlier ones have compiled; else in its work directory.
          mortal: whether it, too, may not write where nobody may, though it is root's.
        """
        prefix = [sys.executable, "-c", MORTAL] if mortal else []
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(self.compiled)}
        if not cached:
            del environment["JAX_COMPILATION_CACHE_DIR"]
        return subprocess.Popen(
            [*prefix, *tethered.command([*command, *more, f"--workdir={workdir}"])],
            cwd=pathlib.Path(__file__).parents[2],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def end(self, process: subprocess.Popen) -> tuple[int, str]:
        """Waits for a command: its exit code and what it said on stderr."""
        try:
            _, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            _, err = process.communicate()
            err = b"hangs\n" + err
        return process.returncode, err.decode(errors="replace")

    def run(self, workdir: pathlib.Path, *more: str, **options) -> tuple[int, str]:
        """Starts a command and waits for it: its exit code and what it said on stderr."""
        return self.end(self.start(workdir, *more, **options))

    def reference(self) -> pathlib.Path:
        """The work directory of an undisturbed run, which keeps its compiled programs there.

        Raises:
          Failure: it does not run, or a second run does not give the same.
        """
        first, second = self.folder("reference"), self.folder("reference")
        for workdir in (first, second):
            code, err = self.run(workdir, cached=workdir == second)
            if code or err:
                raise Failure(f"an undisturbed run ends with code {code}: {err}")
        if fault := differs(second, first):
            raise Failure(f"two undisturbed runs differ in {fault}: nothing can be compared with them")
        shutil.rmtree(second)
        return first


def here(workdir: pathlib.Path, *more: str) -> tuple[int, str]:
    """What `Commands.run` does, in this process: sooner done, and the same code."""
    module, *flags = COMMAND
    return called(module, [*flags, *more, f"--workdir={workdir}"])


def called(module: str, arguments: list[str]) -> tuple[int, str]:
    """The exit code of a command that runs in this process, and what it says on stderr."""
    command, err = importlib.import_module(module), io.StringIO()
    usual = {number: signal.getsignal(number) for number in interrupts.STOPPING}
    with (
        mock.patch.object(sys, "argv", [module, *arguments]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(err),
    ):
        try:
            resjax.lab.flags.main(command.Config, command.run)
        except SystemExit as leaving:
            return leaving.code, err.getvalue()
        except Exception:
            traceback.print_exc()
            return 1, err.getvalue()
        finally:
            for number, handler in usual.items():
                signal.signal(number, handler)
    return 0, err.getvalue()


def differs(workdir: pathlib.Path, reference: pathlib.Path) -> str:
    """The first of the files that must be equal to the last bit and is not; empty if all are."""
    for pattern in TABLES:
        for path in sorted(reference.glob(pattern)):
            name = path.relative_to(reference)
            if not (workdir / name).exists() or (workdir / name).read_bytes() != path.read_bytes():
                return str(name)
    return ""


def phase(workdir: pathlib.Path, process: subprocess.Popen) -> str:
    """What a command was doing when it died, as far as its work directory shows it."""
    if f"process {process.pid} " not in _text(workdir / "lock"):
        return "starting"
    if list(workdir.glob("*.csv.tmp")):
        return "tables"
    for folder in (workdir / "points").glob("*"):
        if not (folder / "done.json").exists():
            return _phase_of_training(folder, (workdir / "lock").stat().st_mtime)
    rows = _text(workdir / "results.csv").count("\n") - 1
    return "figures" if rows == POINTS else "tables"


def _phase_of_training(folder: pathlib.Path, started: float) -> str:
    manifests = {int(path.stem): path.stat().st_mtime for path in folder.glob("manifests/*.json")}
    if any(path.name not in map(str, manifests) for path in folder.glob("checkpoints/*")):
        return "saving"
    if STEPS in manifests:
        return "evaluating"
    path = folder / "metrics.jsonl"
    opened = path.exists() and path.stat().st_mtime >= (folder / "config.json").stat().st_mtime
    steps = 20 * _text(path).count("\n") if opened else 0  # a line every 20
    stepped = steps > max(manifests, default=0) or any(saved > started for saved in manifests.values())
    return "stepping" if stepped else "compiling"


def _text(path: pathlib.Path) -> str:
    return path.read_text() if path.exists() else ""


MOMENTS = {  # what appears in a work directory at the beginning of a phase
    "planned": "config.json",
    "compiling": "points/*/metrics.jsonl",
    "saving": "points/*/checkpoints/*",
    "stepping": "points/*/manifests/50.json",
    "evaluating": f"points/*/manifests/{STEPS}.json",
    "recording": "points/*/done.json",
    "tables": "results.csv",
    "figures": "figure.png",
}


def wait_for(moment: str, workdir: pathlib.Path, process: subprocess.Popen, draw: random.Random):
    """Returns as something new of that moment appears, up to 50 ms later, or when the process has ended."""
    pattern = MOMENTS[moment]
    before = _seen(workdir, pattern)
    while process.poll() is None:
        if _seen(workdir, pattern) - before:
            time.sleep(draw.uniform(0, 0.05))
            return
        time.sleep(POLL)


def _seen(workdir: pathlib.Path, pattern: str) -> set:
    found = set()
    for path in workdir.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            found.add((path, path.stat().st_ino))
    return found


def sleep(seconds: float, process: subprocess.Popen):
    """Sleeps, but no longer than a process runs."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
