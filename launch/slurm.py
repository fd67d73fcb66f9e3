"""Starts an experiment as an array of tasks on a Slurm cluster, which share its networks out by the store's locks.

    python -m launch.slurm --tasks=8 --partition=gpu --gpus=1 --hours=4 -- experiments.depth_scaling --depths=20,56

Prints what it would submit; with --execute it submits. A task that is preempted, or out of time, is queued again.
"""

import dataclasses
import shlex
import signal
import subprocess
import sys
import time

from resjax.lab import behind, flags
from resjax.lab.config import Options, option
from resjax.system.errors import Failure, UserError

TIMEOUTS = 100  # times that a task may run out of time: each time it goes on from where it was
PATIENCE = 600  # seconds in which Slurm, having sent SIGTERM, queues a task again or kills it


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """The options of `launch.slurm`."""

    tasks: int = option(4, "how often the command is started", minimum=1)
    partition: str = option("", "where (default: the cluster's own)")
    gpus: int = option(0, "GPUs of a task", minimum=0)
    cpus: int = option(4, "cores of a task", minimum=1)
    hours: float = option(4.0, "time limit of a task, after which it is queued again", minimum=0.1, maximum=8760)
    sbatch: str = option("", "other options of sbatch, as 'account=lab mem=32G exclusive'")
    logs: str = option("runs/slurm", "folder, on a disk that all nodes see, for what the tasks print")
    execute: bool = option(False, "submit; else it is only printed")
    command: tuple[str, ...] = ()


def run(config: Config) -> None:
    """Prints what is submitted, and with --execute submits it; raises UserError or, where Slurm refuses, Failure."""
    behind.check(config.command)
    line = shlex.join(["python", "-m", *config.command])
    for name, value in sbatch(config).items():
        print(f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={value}")
    print(f"# {config.tasks} times: {line}")
    if config.execute:
        job = submit(config)
        print(f"# job {job}: squeue --job={job} shows it, {config.logs}/{job}_*.out is what it prints")
    print(f"# for the tables, once the tasks are done, the same here: {line}")


def sbatch(config: Config) -> dict[str, str | int | bool]:
    """The options of sbatch; True is one that takes no value."""
    limits = {"time": int(60 * config.hours), "cpus-per-task": config.cpus, "gpus-per-node": config.gpus}
    pairs = (word.lstrip("-").partition("=") for word in config.sbatch.split())
    others = {name: value if equals else True for name, equals, value in pairs}
    asked = limits | {"partition": config.partition, "requeue": True} | others
    return {name: value for name, value in asked.items() if value}


def submit(config: Config) -> str:
    """Submits the array, and returns its number."""
    try:
        import submitit

        executor = submitit.SlurmExecutor(config.logs, max_num_timeout=TIMEOUTS)
        executor.update_parameters(
            job_name=config.command[0].rpartition(".")[2],
            time=int(60 * config.hours),
            srun_args=[f"--cpus-per-task={config.cpus}"],  # which srun does not take from sbatch since Slurm 22.05
            additional_parameters=sbatch(config),
        )
        jobs = executor.submit_array([Task(config.command) for _ in range(config.tasks)])
    except ImportError:
        raise UserError("--execute: needs the extra [slurm]: pip install -e '.[slurm]'") from None
    except submitit.core.utils.FailedJobError as error:
        raise Failure(str(error).strip().splitlines()[-1]) from None
    except RuntimeError as error:  # there is no srun
        raise UserError(f"--execute: run this where jobs are submitted: {error}") from None
    return jobs[0].job_id.partition("_")[0]


@dataclasses.dataclass
class Task:
    """One task of the array, as submitit starts it on a node: the command, in a process of its own."""

    words: tuple[str, ...]

    def __call__(self) -> None:
        import submitit

        warning = {signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"]}
        signal.pthread_sigmask(signal.SIG_BLOCK, warning)  # Slurm sends it to every process, and it would end this one
        process = subprocess.Popen([sys.executable, "-m", *self.words])
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, warning)
            code = process.wait()  # warned, submitit queues the task again and raises SystemExit here
            if code == 128 + signal.SIGTERM:
                time.sleep(PATIENCE)  # a task that ends by itself is not queued again
        finally:
            process.terminate()  # it saves
            process.wait()
        if code:
            sys.exit(code)

    def checkpoint(self):
        """What submitit queues again: the same, which finds in the store what is finished."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


if __name__ == "__main__":
    flags.main(Config, run)
