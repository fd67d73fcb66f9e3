"""A sweep on Cloud TPU: one queued resource a shard, each with `launch.tpu`."""

import pathlib
import shlex
import subprocess
import sys
import time

from launch import gcloud, tpu
from launch.units import Sweep
from resjax import flags, signals
from resjax.errors import Failure, UserError

POLL = 0.2  # seconds between looks at the shards


def run(sweep: Sweep, shards: int, tries: int, options: str):
    """Prints the command of each shard or, with `--execute` among the options, runs them.

    Args:
      sweep: what is asked for.
      shards: slices, of which each runs its part of the units, one after the other.
      tries: times that a unit may die before it counts as failed.
      options: flags of `launch.tpu`; of `--name=NAME` the shards get NAME-1, NAME-2, …

    Raises:
      UserError: flags that are wrong. Failure: shards failed. Stopped: by a signal; the slices are deleted.
    """
    sweep.check()
    given = shlex.split(options)
    asked = flags.parse(tpu.Config, ["launch.tpu", *given, "--", *sweep.command])
    if asked is None or asked.several_hosts:
        raise UserError(f"--tpu={options}: a shard runs on one host: give a slice of at most {gcloud.ONE_HOST}")
    chosen = {"over": sweep.over, "grid": sweep.grid, "tries": tries}
    own = [f"--{name}={value}" for name, value in chosen.items() if value]
    names = [f"{asked.name}-{place}" for place in range(1, shards + 1)]
    commands = []
    for place, name in enumerate(names, 1):
        shard = ["launch.sweep", *own, f"--shard={place}/{shards}", "--", *sweep.command]
        commands.append(["launch.tpu", *given, f"--name={name}", "--", *shard])
    if asked.execute:
        _execute(commands, names)
    else:
        for command in commands:
            print(shlex.join(["python", "-m", *command]))
    if asked.bucket:
        places = ",".join(f"{asked.bucket}/{name}" for name in names)
        print(f"# how far they are: python -m launch.sweep --status --from={places}")
    directories = ",".join(f"runs/{name}" for name in names)
    print(f"# then: python -m launch.sweep --collect --from={directories} --workdir=DIR")


def _execute(commands: list[list[str]], names: list[str]):
    pathlib.Path("runs").mkdir(exist_ok=True)
    processes = {}
    with signals.caught() as stop:
        stop.patient = True  # for the slices to be deleted
        for name, command in zip(names, commands, strict=True):
            with open(f"runs/{name}.log", "w") as log:
                processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            print(f"{name}: see runs/{name}.log", flush=True)
        told = False
        while any(process.poll() is None for process in processes.values()):
            if stop.signal and not told:  # each deletes its slice before it leaves
                told = True
                for process in processes.values():
                    process.terminate()
            time.sleep(POLL)
        stop.check()
    if failed := [f"runs/{name}.log" for name, process in processes.items() if process.returncode]:
        raise Failure(f"{len(failed)} of {len(names)} shards failed: see {', '.join(failed)}")
