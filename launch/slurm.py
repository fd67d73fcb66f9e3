"""A sweep on a Slurm cluster: an array of workers, through submitit.

A worker is stopped before its time is over or its node is taken away, which saves, and put into the queue again. Slurm
announces it with a signal; submitit's own handler of that signal queues the job, once the worker has left.
"""

import shlex
import signal
import sys
import time

from etils import epath

from launch import worker
from launch.directory import SweepDirectory
from resjax.system import interrupts
from resjax.system.errors import Failure, Stopped, UserError

PATIENCE = 10.0  # seconds without a unit to take, after which a worker gives its node back
LIMITS = 100  # times that a worker may run out of time: each time it goes on from where it was
GRACE = 600.0  # seconds in which Slurm, having sent SIGTERM, queues the job again or kills it


def submit(sweep: SweepDirectory, workers: int, gpus: int, minutes: int, tries: int, options: str):
    """Submits the workers and returns.

    Args:
      sweep: where the units are, on a file system that all nodes see.
      workers: tasks of the array.
      gpus: GPUs of a task.
      minutes: time limit of a task.
      tries: times that a unit may die before it counts as failed.
      options: more options of sbatch, `partition=gpu account=lab`.

    Raises:
      UserError: submitit or Slurm is not there. Failure: Slurm refuses.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("--on=slurm needs the extra [slurm]: pip install -e '.[slurm]'") from None
    try:
        executor = submitit.SlurmExecutor(sweep.path / "slurm", max_num_timeout=LIMITS)
    except RuntimeError:
        raise UserError("--on=slurm: there is no srun here: run this where jobs are submitted") from None
    sweep.forget_failures(sweep.units)
    left = sweep.left(sweep.units)
    if not left:
        print("every unit is done: --collect writes the tables")
        return
    executor.update_parameters(
        job_name=sweep.path.name,
        time=minutes,
        cpus_per_task=sweep.cpus,
        additional_parameters=_parameters(options),
        **({"gpus_per_node": gpus} if gpus else {}),
    )
    try:
        jobs = executor.submit_array([Worker(sweep.path.resolve(), tries) for _ in range(min(workers, len(left)))])
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        raise Failure(f"sbatch: {str(error).strip().splitlines()[-1]}") from error
    print(f"submitted job {jobs[0].job_id.partition('_')[0]}: {len(jobs)} workers for {len(left)} units")


class Worker:
    """One task of the array."""

    def __init__(self, workdir: epath.Path, tries: int):
        self.workdir = workdir
        self.tries = tries

    def __call__(self):
        """Takes units until none is left (see `worker.work`)."""
        import submitit

        warning = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
        try:
            with interrupts.graceful_shutdown() as stop:
                queue_again = signal.signal(warning, lambda number, frame: setattr(stop, "signal", number))
                try:
                    sweep = SweepDirectory.load(self.workdir)
                    worker.work(sweep, sweep.units, self.tries, stop, PATIENCE)
                finally:
                    signal.signal(warning, queue_again)
        except Stopped as stopped:
            if stop.signal == warning:
                signal.raise_signal(warning)
            time.sleep(GRACE)  # a job that ends by itself is not queued again
            _leave(stopped)
        except UserError as error:
            _leave(error)

    def checkpoint(self):
        """What submitit queues: the same again, for every unit goes on from its own checkpoint."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def _parameters(options: str) -> dict[str, str | bool]:
    pairs = (part.lstrip("-").partition("=") for part in shlex.split(options))
    return {name: value if equals else True for name, equals, value in pairs}


def _leave(error: UserError):
    """Ends the task in one line: an exception that submitit sees becomes a traceback."""
    print(f"sweep: {error}", file=sys.stderr, flush=True)
    sys.exit(error.exit_code)
