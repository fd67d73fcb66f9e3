"""Many runs: the product of an experiment's flags, dealt out to processes, a cluster or slices.

    python -m launch.sweep --workers=4 -- experiments.depth_scaling --depths=20,56,110 --seeds=3
    python -m launch.sweep --workers=4 --grid='learning_rate=0.1,0.05 width=64,128' -- experiments.depth_scaling
    python -m launch.sweep --on=slurm --workers=16 --gpus=1 --cpus=8 --slurm=partition=gpu -- experiments.depth_scaling
    python -m launch.sweep --shard=1/4 --workdir=DIR -- experiments.depth_scaling
    python -m launch.sweep --shard=1/4 --workdir=gs://BUCKET/shard-1 -- experiments.depth_scaling
    python -m launch.sweep --status --workdir=DIR
    python -m launch.sweep --collect --workdir=DIR

What stands behind -- is an experiment and its flags. A unit is that command with one value of each list that --over
names; --grid multiplies the units with values of other flags. Units run once, whoever takes them; the same command
goes on from where an earlier one ended. At the end the units are put together: WORKDIR/merged is what the experiment
itself, run with all its lists, would have left. launch/sweeps.md says more.
"""

import dataclasses

from etils import epath
from rich.console import Console

from launch import collect, fleet, local, progress, slurm, worker
from launch.directory import SweepDirectory
from launch.units import Sweep, shard
from resjax.lab import flags, names
from resjax.lab.config import Options, option
from resjax.system import files, interrupts
from resjax.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """The options of a sweep."""

    on: str = option(
        "local",
        "who works: processes of this machine, a Slurm cluster, or TPU slices",
        choices=("local", "slurm", "tpu"),
    )
    workers: int = option(2, "processes, tasks of a Slurm array, or slices", minimum=1)
    over: str = option("", "lists of the experiment to deal out (default: those of depths, connections, norms it has)")
    grid: str = option("", "values of other flags to multiply these with: 'learning_rate=0.1,0.05 width=64,128'")
    workdir: str = option("", "where everything goes (default: runs/sweep-HASH)")
    shard: str = option("", "i/n: be the worker of the i-th of n shares of the units, whatever starts the others")
    collect: bool = option(False, "write the tables and figures of the whole, and run nothing")
    from_: str = option("", "with --collect or --status: directories of shards, where each has its own")
    status: bool = option(False, "show how far all workers are, and run nothing")
    tries: int = option(3, "times that a unit may die before it counts as failed", minimum=1)
    cpus: int = option(0, "threads that a unit computes with, on Slurm cores of a task; 0: this machine's", minimum=0)
    gpus: int = option(0, "GPUs to share out to the processes, or of a Slurm task; 0: leave it to JAX", minimum=0)
    minutes: int = option(240, "time limit of a Slurm task, after which it is queued again", minimum=1)
    slurm: str = option("", "more options of sbatch: 'partition=gpu account=lab'")
    tpu: str = option("", "flags of launch.tpu: '--name=deep --zone=us-east5-b --accelerator_type=v6e-8'")
    command: tuple[str, ...] = ()


def run(config: Config):
    """Does the part of the sweep that the flags ask for.

    Raises:
      UserError: flags that are wrong, here or by the experiment's word. Failure: units have failed or are missing.
      Stopped: by a signal; the units in hand are saved.
    """
    if config.shard and config.on != "local":
        raise UserError(f"--shard={config.shard} and --on={config.on}: give one")
    for on in ("slurm", "tpu"):
        if getattr(config, on) and config.on != on:
            raise UserError(f"--{on}: goes with --on={on}")
    if config.from_ and not (config.collect or config.status):
        raise UserError("--from: goes with --collect or --status")
    sweep = _asked(config)
    path = _path(config, sweep)
    if config.status:
        Console().print(progress.view(*map(SweepDirectory.load, _begun(config) or [path])))
    elif config.collect:
        _collect(config, sweep, path)
    elif config.on == "tpu":
        fleet.run(sweep, config.workers, config.tries, config.cpus, config.tpu)
    elif config.shard:
        units = shard(config.shard, sweep.units())
        directory = SweepDirectory.open(path, sweep, config.cpus)
        directory.forget_failures(units)
        with interrupts.graceful_shutdown() as stop:
            worker.work(directory, units, config.tries, stop)
    elif config.on == "slurm":
        if not config.cpus:
            raise UserError("--on=slurm: give --cpus, the cores of a task")
        directory = SweepDirectory.open(path, sweep, config.cpus)
        slurm.submit(directory, config.workers, config.gpus, config.minutes, config.tries, config.slurm)
    else:
        directory = SweepDirectory.open(path, sweep, config.cpus)
        local.run(directory, config.workers, config.gpus, config.tries)
        collect.run(directory)


def _asked(config: Config) -> Sweep:
    """The sweep of the command line or, without a command there, that of a directory."""
    if config.command:
        return Sweep(config.command, config.over, config.grid)
    if config.over or config.grid:
        raise UserError("--over and --grid: give the experiment, too, behind --")
    for place in _begun(config):
        return SweepDirectory.load(place).sweep
    raise UserError("give an experiment and its flags behind --, or the --workdir of a sweep that is there")


def _begun(config: Config) -> list[str]:
    """Those of the directories that are named in which there is a sweep."""
    places = filter(None, (config.workdir, *names.split(config.from_)))
    return [place for place in places if (files.place(place) / "sweep.json").exists()]


def _path(config: Config, sweep: Sweep) -> epath.Path:
    """Where the sweep goes."""
    for place in (config.workdir, *names.split(config.from_)):
        if files.in_bucket(place) and config.collect:
            raise UserError(f"{place}: to --collect, bring it here: gcloud storage rsync {place} DIR --recursive")
        if files.in_bucket(place) and not (config.shard or config.status):
            raise UserError(f"--workdir={place}: a bucket has no locks: give a directory of a disk, or --shard=i/n")
    return files.place(config.workdir or f"runs/sweep-{sweep.digest()}")


def _collect(config: Config, sweep: Sweep, path: epath.Path):
    others = [SweepDirectory.load(place) for place in names.split(config.from_)]
    if not others:
        SweepDirectory.load(path)  # or there is nothing to collect
    directory = SweepDirectory.open(path, sweep, config.cpus or (others[0].cpus if others else 0))
    collect.gather(directory, others)
    collect.run(directory)


if __name__ == "__main__":
    flags.main(Config, run)
