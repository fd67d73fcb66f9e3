"""`launch.slurm` against a stand-in for a cluster: what is submitted, and what a warning or SIGTERM does to a task."""

import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
from commands import ROOT
from fake_slurm import Cluster, until

from launch import slurm
from resjax.lab import flags
from resjax.system.errors import UserError

COMMAND = ("--", "fake_study", "--depths=20,56")


def run(*arguments, command=COMMAND):
    words = [sys.executable, "-m", "launch.slurm", *arguments, *command]
    process = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "Traceback" not in process.stderr, process.stderr
    return process.returncode, process.stdout, process.stderr


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster, and an experiment that notes in `diary` what happens to it."""
    made = Cluster(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    path = [str(ROOT), f"{ROOT}/tests", *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("DIARY", str(tmp_path / "diary"))
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def submitted(cluster):
    """The same, with an array of two tasks in its queue."""
    pytest.importorskip("submitit", reason="needs the extra [slurm]")
    options = ("--tasks=2", "--partition=gpu", "--gpus=1", "--cpus=3", "--hours=1.5", "--sbatch=account=lab exclusive")
    code, out, err = run("--execute", *options)
    assert (code, err) == (0, "") and "# job 7: squeue --job=7 shows it" in out
    assert out.endswith("the same here: python -m fake_study --depths=20,56\n")
    return cluster


def diary(folder):
    path = folder / "diary"
    return path.read_text().split() if path.exists() else []


def test_what_is_submitted(submitted):
    asked = {"cpus-per-task": "3", "gpus-per-node": "1", "time": "90", "partition": "gpu", "account": "lab"}
    assert (asked | {"array": "0-1%2", "job-name": "fake_study"}).items() <= submitted.options.items()
    assert "#SBATCH --exclusive\n" in submitted.script and "#SBATCH --requeue\n" in submitted.script
    (line,) = (line for line in submitted.script.splitlines() if line.startswith("srun"))
    assert " --cpus-per-task=3 " in line


def test_a_warned_task_saves_is_queued_again_and_goes_on(submitted, tmp_path):
    task = submitted.start(0)
    until(lambda: diary(tmp_path))
    submitted.warn(task)
    task.wait()
    assert submitted.requeued() == ["requeue 7_0"] and diary(tmp_path) == ["started", "saved"]
    (tmp_path / "go").touch()
    assert submitted.start(0).wait() == 0
    assert diary(tmp_path) == ["started", "saved", "started", "done"]


def test_a_task_that_gets_sigterm_waits_for_slurm_to_queue_it_again(submitted, tmp_path):
    task = submitted.start(0)
    until(lambda: diary(tmp_path))
    submitted.tell(task, signal.SIGTERM)
    until(lambda: diary(tmp_path) == ["started", "saved"])
    assert task.poll() is None
    submitted.warn(task)
    task.wait()
    assert submitted.requeued() == ["requeue 7_0"]


def test_the_tasks_run_side_by_side(submitted, tmp_path):
    tasks = [submitted.start(number) for number in range(2)]
    until(lambda: diary(tmp_path) == ["started"] * 2)
    (tmp_path / "go").touch()
    assert [task.wait() for task in tasks] == [0, 0]


def test_without_execute_nothing_is_submitted(cluster, tmp_path):
    code, out, err = run("--tasks=2", "--hours=1")
    assert (code, err) == (0, "") and {path.name for path in tmp_path.iterdir()} == {"bin"}
    assert out.splitlines() == [
        "#SBATCH --time=60",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --requeue",
        "# 2 times: python -m fake_study --depths=20,56",
        "# for the tables, once the tasks are done, the same here: python -m fake_study --depths=20,56",
    ]


def test_without_a_cluster_it_says_so(cluster, monkeypatch, tmp_path):
    pytest.importorskip("submitit", reason="needs the extra [slurm]")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = run("--execute")
    assert (code, err.count("\n")) == (2, 1) and "slurm: --execute: run this where jobs are submitted" in err


def test_a_partition_that_is_refused_is_named(cluster, tmp_path):
    pytest.importorskip("submitit", reason="needs the extra [slurm]")
    (tmp_path / "bin/sbatch").write_text("#!/bin/sh\necho sbatch: error: invalid partition >&2\nexit 1\n")
    code, _, err = run("--execute", "--partition=nowhere")
    assert code == 1 and err.endswith("\nslurm: sbatch: error: invalid partition\n")


def test_the_command_of_the_guide():
    (line,) = re.findall(r"python -m (launch\.slurm .*-- .*)$", (ROOT / "docs/machines.md").read_text(), re.MULTILINE)
    assert flags.parse(slurm.Config, shlex.split(line)).command[0] == "experiments.depth_scaling"


@pytest.mark.parametrize(
    ("words", "says"),
    (
        (["--tasks=0"], "--tasks=0: must be at least 1"),
        (["--hours=0"], "--hours=0.0: must be at least 0.1"),
        (["--gpus=-1"], "--gpus=-1: must be at least 0"),
        (["--cpus=many"], "cpus"),
        (["--nodes=2"], "Unknown command line flag 'nodes'"),
        (["--", "fake_study", "--depths=3"], "--depths=3: is refused by the experiment"),
        (["--", "fake_study", "--help"], "-- fake_study --help: cannot be given here"),
        ([], "give an experiment behind --"),
    ),
)
def test_what_cannot_be(words, says):
    with pytest.raises(UserError, match=says):
        slurm.run(flags.parse(slurm.Config, ["launch.slurm", *words]))
