"""A sweep on Cloud TPU: one queued resource a shard, each with `launch.tpu`."""

import pathlib
import shlex
import signal
import subprocess
import sys
import time

from launch import gcloud, tpu
from launch.directory import SweepDirectory
from launch.units import Sweep, shard
from resjax.lab import flags
from resjax.system import interrupts
from resjax.system.errors import Failure, Stopped, UserError

POLL = 0.2  # seconds between looks at the shards


def run(sweep: Sweep, shards: int, tries: int, cpus: int, options: str):
    """Prints the command of each shard or, with `--execute` among the options, runs them.

    Args:
      sweep: what is asked for.
      shards: slices, of which each runs its part of the units, one after the other.
      tries: times that a unit may die before it counts as failed.
      cpus: the threads that a unit computes with; 0: those of the slice's machine.
      options: flags of `launch.tpu`; of `--name=NAME` the shards get NAME-1, NAME-2, …

    Raises:
      UserError: flags that are wrong. Failure: shards failed. Stopped: by a signal; the slices are deleted.
    """
    sweep.check()
    given = shlex.split(options)
    asked = flags.parse(tpu.Config, ["launch.tpu", *given, "--", *sweep.command])
    if asked is None or asked.several_hosts:
        raise UserError(f"--tpu={options}: a shard runs on one host: give a slice of at most {gcloud.ONE_HOST}")
    chosen = {"over": sweep.over, "grid": sweep.grid, "tries": tries, "cpus": cpus}
    own = [f"--{name}={value}" for name, value in chosen.items() if value]
    names = [f"{asked.name}-{place}" for place in range(1, shards + 1)]
    commands = {}
    for place, name in enumerate(names, 1):
        if _done(sweep, f"{place}/{shards}", pathlib.Path("runs", name)):
            print(f"# {name} is done: runs/{name}")
            continue
        worker = ["launch.sweep", *own, f"--shard={place}/{shards}", "--", *sweep.command]
        commands[name] = ["launch.tpu", *given, f"--name={name}", "--", *worker]
    if asked.execute:
        _execute(commands)
    else:
        for command in commands.values():
            print(shlex.join(["python", "-m", *command]))
    if asked.bucket:
        places = ",".join(f"{asked.bucket}/{name}" for name in names)
        print(f"# how far they are: python -m launch.sweep --status --from={places}")
    directories = ",".join(f"runs/{name}" for name in names)
    print(f"# then: python -m launch.sweep --collect --from={directories} --workdir=DIR")


def _done(sweep: Sweep, share: str, path: pathlib.Path) -> bool:
    """Whether a shard was brought home with all of its units done."""
    if not (path / "sweep.json").exists():
        return False
    found = SweepDirectory.load(path)
    if found.sweep.asked() != sweep.asked():
        raise UserError(f"{path} holds another sweep: give another --name among --tpu")
    return all((end := found.end(unit)) and end.code == 0 for unit in shard(share, found.units))


def _execute(commands: dict[str, list[str]]):
    pathlib.Path("runs").mkdir(exist_ok=True)
    processes = {}
    with interrupts.graceful_shutdown() as stop:
        stop.deferred = True  # for the slices to be deleted
        for name, command in commands.items():
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
        if stop.signal:
            raise Stopped(f"stopped by {signal.Signals(stop.signal).name}; the slices are deleted", stop.signal)
    if failed := [f"runs/{name}.log" for name, process in processes.items() if process.returncode]:
        raise Failure(f"{len(failed)} of {len(commands)} shards failed: see {', '.join(failed)}")
