"""Runs an experiment on a Cloud TPU slice of its own: rents it, installs, runs, fetches, gives it back.

    python -m launch.tpu --name=deep --zone=us-east5-b -- experiments.depth_scaling --depths=20,56
    python -m launch.tpu --accelerator_type=v6e-16 --spot --bucket=gs://BUCKET --execute -- experiments.depth_scaling

Prints the gcloud commands; with --execute it runs them, and in the end the slice is deleted: see docs/machines.md.
"""

import pathlib
import shlex
import shutil
import signal

from launch import command, gcloud
from launch.gcloud import Config
from launch.slices import Slice, say
from resjax.lab import behind, flags
from resjax.system import interrupts
from resjax.system.errors import Failure, UserError

HIRING = gcloud.archive, gcloud.create, gcloud.state
RUNNING = gcloud.copy, gcloud.install, gcloud.start, gcloud.follow, gcloud.answers


def run(config: Config) -> None:
    """Prints the steps, or carries them out; raises UserError for an experiment that cannot be run there."""
    behind.check(config.command, "workdir")
    command.check_committed(config.command)
    left_out = [line[3:] for line in command.git("status", "--porcelain").decode().splitlines()]
    say(f"# Not committed, so not on the slice: {', '.join(left_out) or 'nothing'}")
    if config.execute:
        return execute(config)
    ending = (gcloud.delete, gcloud.fetch) if config.bucket else (gcloud.fetch, gcloud.delete)
    for step in (*HIRING, *RUNNING, *ending):
        print(f"# {step.__doc__}\n{shlex.join(step(config))}")


def execute(config: Config) -> None:
    """Carries out the steps; raises UserError, Failure or Stopped. In any case the slice is deleted at the end."""
    with interrupts.graceful_shutdown() as stop:
        stop.deferred = True  # till the slice is deleted
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # a terminal that is closed; nohup would ignore it
            signal.signal(signal.SIGHUP, lambda number, frame: setattr(stop, "signal", number))
        rented = Slice(config, stop)
        refuse_taken(config, rented)
        rented.must(gcloud.archive)
        try:
            rented.acquire()
            rented.run()
        finally:
            fetched = Slice(config, interrupts.NEVER).give_back()
        if config.bucket:
            rented.must(gcloud.fetch)
        elif not fetched:
            raise Failure("the work directory could not be fetched and is lost with the slice")
    say(f"results: runs/{config.name}")


def refuse_taken(config: Config, rented: Slice) -> None:
    """Raises UserError if gcloud is missing, or the name belongs to another slice or to results."""
    if not shutil.which("gcloud"):
        raise UserError("gcloud is not installed: see docs/machines.md")
    state, _ = rented.state()
    if state == "UNKNOWN":
        raise Failure("gcloud cannot list queued resources: see what it says above")
    if state:
        delete = shlex.join(gcloud.delete(config))
        raise UserError(f"--name={config.name}: there is one, {state}: take another name, or delete it: {delete}")
    if not config.bucket and pathlib.Path("runs", config.name).exists():
        raise UserError(f"--name={config.name}: runs/{config.name} is there already: take another name")


if __name__ == "__main__":
    flags.main(Config, run)
