"""Runs an experiment on a Cloud TPU slice of its own: rents it, installs, runs, fetches, gives it back.

    python -m launch.tpu --name=deep --zone=us-east5-b -- experiments.depth_scaling --depths=20,56
    python -m launch.tpu --name=deep --zone=us-east5-b --execute -- experiments.depth_scaling --depths=20,56
    python -m launch.tpu --accelerator_type=v6e-16 --spot --bucket=gs://BUCKET --execute -- experiments.depth_scaling

Prints the gcloud commands; with --execute it runs them. What stands behind -- is an experiment and its flags. The
experiment goes on without this command's connection to it. A slice that was preempted is asked for again, and a run
that lost a worker is started again, from its checkpoint. The slice is deleted at the end, whatever the end is.
launch/README.md says what is needed first.
"""

import importlib
import shlex
import shutil
import subprocess

from launch import gcloud, slices
from launch.gcloud import Config
from resjax.lab import flags
from resjax.system.errors import UserError

STEPS = (
    ("A place for the results", gcloud.folder),
    ("The project as it is committed", gcloud.archive),
    ("Ask for the slice", gcloud.create),
    ("Again until it is ACTIVE; FAILED: there was no capacity; SUSPENDED: delete it and ask again", gcloud.state),
    ("Copy the project to every worker", gcloud.copy),
    ("Install it", gcloud.install),
    ("Start the experiment on every worker, detached", gcloud.start),
    ("Watch worker 0; after a lost connection, again", gcloud.follow),
    ("How it ended on each worker: 0 is done; running: watch again; lost: again from the copying", gcloud.answers),
)
FETCH = "Fetch the work directory", gcloud.fetch
DELETE = "Delete the slice: it costs money until then", gcloud.delete


def run(config: Config):
    """Prints the steps, or carries them out (`slices.execute`, which says what is raised).

    Raises:
      UserError: an experiment or a flag that cannot be.
    """
    check_command(config)
    print(f"# Not committed, so not in the archive: {_left_out() or 'nothing'}", flush=True)
    if config.execute:
        slices.execute(config)
    else:
        for comment, step in (*STEPS, *((DELETE, FETCH) if config.bucket else (FETCH, DELETE))):
            print(f"# {comment}\n{shlex.join(step(config))}")


def check_command(config: Config):
    """Refuses here what the experiment would refuse on a slice that is paid for.

    Raises:
      UserError: no experiment, a flag that it does not have, a value that cannot be, or what this command decides.
    """
    if not config.command:
        raise UserError("give an experiment behind --, as in -- experiments.depth_scaling --depths=20,56")
    module, *arguments = config.command
    try:
        options = importlib.import_module(module).Config
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"-- {module}: is not an experiment: {error}") from None
    asked = flags.parse(options, [module, *arguments])
    if asked is None or getattr(asked, "workdir", ""):
        raise UserError(f"-- {module}: takes neither --help nor --workdir here, which follows from --bucket and --name")
    flags.parse(options, gcloud.experiment(config))


def _left_out() -> str:
    """What the archive of the last commit does not have."""
    if not shutil.which("git"):
        raise UserError("git is not installed: see launch/README.md")
    command = ["git", "-C", gcloud.ROOT, "status", "--porcelain"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return ", ".join(line[3:] for line in lines)


if __name__ == "__main__":
    flags.main(Config, run)
