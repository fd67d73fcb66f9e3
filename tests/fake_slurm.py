"""A Slurm cluster of one machine: puts `sbatch`, `srun` and `scontrol` into a folder, for the PATH.

A task is a process of `sbatch`'s script. `scontrol requeue` makes a note; who preempts a task starts it again.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

SBATCH = """#!/bin/bash
echo "$1" > {folder}/script
echo "Submitted batch job 7"
"""
SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do
  if [[ "$1" == --output || "$1" == --error ]]; then shift; fi
  shift
done
exec "$@"
"""
SCONTROL = """#!/bin/bash
echo "$@" >> {folder}/notes
"""


class Cluster:
    """The commands, and the tasks that were started."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        folder.mkdir()
        for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
            (folder / name).write_text(text.format(folder=folder))
            (folder / name).chmod(0o755)

    @property
    def script(self) -> str:
        """What was submitted."""
        return pathlib.Path((self.folder / "script").read_text().strip()).read_text()

    @property
    def options(self) -> dict[str, str]:
        """The `#SBATCH` lines of the script."""
        return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", self.script, re.MULTILINE))

    def start(self, task: int) -> subprocess.Popen:
        """Runs one task of the array, in a session of its own, as a job step is."""
        own = {"SLURM_JOB_ID": f"{70 + task}", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}
        with open(self.folder / f"task-{task}.log", "a") as log:
            return subprocess.Popen(
                ["bash", "-c", self.script],
                env=os.environ | own,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def warn(self, process: subprocess.Popen):
        """Announces the end of a task."""
        self.tell(process, signal.SIGUSR2)

    def tell(self, process: subprocess.Popen, number: int):
        """Sends a signal to every process of a task but its shell, as Slurm does."""
        for pid in (process.pid, *descendants(process.pid)):
            with contextlib.suppress(OSError):  # it has just ended
                if pathlib.Path(f"/proc/{pid}/comm").read_text() != "bash\n":
                    os.kill(pid, number)

    def requeued(self) -> list[str]:
        """What `scontrol` was asked for."""
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and they."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(path.parent.name)
            found += [child, *descendants(child)]
    return found


def until(condition):
    """Waits for something to hold, and returns it."""
    while not (found := condition()):
        time.sleep(0.05)
    return found
