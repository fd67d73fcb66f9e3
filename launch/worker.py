"""A worker of a sweep: takes units that nobody has, one after the other, until none is left.

    python -m launch.worker --workdir=DIR

`launch.sweep` starts workers; more of them may be started by hand, wherever the sweep's directory is seen.
"""

import dataclasses
import math
import os
import subprocess
import time

from launch import tethered
from launch.claims import Claim
from launch.directory import End, SweepDirectory
from launch.units import Unit
from resjax.lab import flags
from resjax.lab.config import Options, option
from resjax.system import interrupts
from resjax.system.errors import UserError
from resjax.system.files import in_bucket

INTERRUPTED = {128 + number: number for number in interrupts.STOPPING}  # exit codes
POLL = 0.2  # seconds between looks at the experiment
IDLE = 1.0  # seconds between looks for a unit to take


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """The options of a worker."""

    workdir: str = option("", "the sweep's directory")
    tries: int = option(3, "times that a unit may die before it counts as failed", minimum=1)


def run(config: Config):
    """Works until every unit has ended."""
    if in_bucket(config.workdir):
        raise UserError(f"--workdir={config.workdir}: has no locks: give each machine its shard (launch.sweep --shard)")
    sweep = SweepDirectory.load(config.workdir)
    with interrupts.graceful_shutdown() as stop:
        work(sweep, sweep.units, config.tries, stop)


def work(sweep: SweepDirectory, units: list[Unit], tries: int, stop: interrupts.Stop, patience: float = math.inf):
    """Runs units until all have ended.

    Args:
      sweep: where they are.
      units: those to look after.
      tries: times that one may die before it counts as failed.
      stop: when it is set, the experiment in hand is stopped, which saves first.
      patience: seconds to wait for units that others have, in case they give them up.

    Raises:
      UserError: the experiment says that its flags are wrong. Failure: units have failed. Stopped: `stop` was set.
    """
    stop.deferred = True  # the experiment in hand saves before it leaves
    busy = time.monotonic()
    left = units
    while True:
        stop.check()
        ends = {unit: sweep.end(unit) for unit in left}
        left = [unit for unit, end in ends.items() if not end]
        if not left or any(end.code == UserError.exit_code for end in ends.values() if end):
            break  # what is left would be refused, too
        if any(_try(sweep, unit, tries, stop) for unit in reversed(left)):  # lists grow, and what takes long goes first
            busy = time.monotonic()
        elif time.monotonic() - busy > patience:
            break
        else:
            time.sleep(IDLE)
    sweep.check(units)


def _try(sweep: SweepDirectory, unit: Unit, tries: int, stop: interrupts.Stop) -> bool:
    """Takes a unit and runs it, if it is free; whether it was."""
    claim = sweep.take(unit)
    if not claim:
        return False
    with claim:
        if claim.attempt > tries:
            line = f"died {tries} times without a word (killed, or out of memory)"
            sweep.finish(unit, End(1, line, 0.0))
        else:
            _run(sweep, unit, claim, stop)
    return True


def _run(sweep: SweepDirectory, unit: Unit, claim: Claim, stop: interrupts.Stop):
    started = time.time()
    code = _experiment(sweep, unit, claim, stop)
    if code:
        interrupts.check(stop.signal or INTERRUPTED.get(code, 0))
    claim.died = code < 0
    if not claim.died:
        sweep.finish(unit, End(code, _last_line(sweep, unit) if code else "", time.time() - started))


def _experiment(sweep: SweepDirectory, unit: Unit, claim: Claim, stop: interrupts.Stop) -> int:
    """The exit code of the unit's experiment, negative if a signal ended it."""
    folder = sweep.here(unit)
    command = tethered.command(sweep.command(unit.flags, sweep.workdir(unit)))
    with open(folder / "stdout", "w") as out, open(folder / "stderr", "w") as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=os.environ | {"NPROC": str(sweep.cpus)},  # some results depend on the number of threads
            pass_fds=[claim.file.fileno()],
            start_new_session=True,  # a terminal's Ctrl-C reaches the worker, which passes it on
        )
    told = False
    while True:
        try:
            return process.wait(POLL)
        except subprocess.TimeoutExpired:
            if stop.signal and not told:
                process.terminate()
                told = True


def _last_line(sweep: SweepDirectory, unit: Unit) -> str:
    lines = (sweep.here(unit) / "stderr").read_bytes().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it gave no reason")


if __name__ == "__main__":
    flags.main(Config, run)
