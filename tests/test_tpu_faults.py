"""`launch.tpu --execute` against a stand-in for gcloud: every way in which a slice can end."""

import json
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from commands import ROOT

from resjax.system import interrupts

COMMAND = ("--", "fake_study", "--depths=20,56")
SUCCESS = {"workers": 1, "states": ["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"], "follow": ["ok"], "codes": [0]}
POD = ("--accelerator_type=v6e-16", "--bucket=gs://ours/resjax")


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """A folder whose `gcloud` is the stand-in; its `fake` folder is what that reads and writes."""
    fake, programs, here = (tmp_path / name for name in ("fake", "bin", "here"))
    for folder in (fake, programs, here):
        folder.mkdir()
    stand_in = f"{sys.executable} -I -S {ROOT}/tests/fake_gcloud.py"
    for name, program in (("gcloud", stand_in), ("python3", f"{stand_in} machine"), ("tail", "/usr/bin/tail -s 0.05")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_GCLOUD", str(fake))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT}/tests")
    monkeypatch.chdir(here)
    return fake


def start(*arguments):
    options = ("--name=deep", "--zone=us-east5-b", "--poll=0.01")
    words = [sys.executable, "-m", "launch.tpu", *options, *arguments, *COMMAND]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments):
    process = start(*arguments)
    out, err = process.communicate()
    assert "Traceback" not in err, err
    return process.returncode, out, err


def play(cloud, scenario, *arguments):
    (cloud / "scenario.json").write_text(json.dumps(scenario))
    return run("--execute", *arguments)


def until(condition):
    while not condition():
        time.sleep(0.02)


def lines(cloud, name="record"):
    path = cloud / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def verbs(cloud):
    """What was done with gcloud, in a word each, looks at the state left out."""
    words = ("create", "list", "scp", "ssh", "rsync", "delete")
    return [verb for line in lines(cloud) if (verb := next(word for word in words if word in line)) != "list"]


@pytest.mark.parametrize("options", (pytest.param((), marks=pytest.mark.slow), POD))
def test_what_is_executed_is_what_is_printed(cloud, options):
    code, out, err = run(*options)
    assert (code, err, lines(cloud)) == (0, "", []) and not list(pathlib.Path().iterdir())
    printed = [shlex.split(line) for line in out.splitlines() if line.startswith("gcloud")]
    assert play(cloud, SUCCESS, *options)[0] == 0
    free, *rest = dict.fromkeys(map(tuple, lines(cloud)))  # the first look is whether the name is free
    rest.insert(1, free)
    assert [*map(list, rest)] == printed


@pytest.mark.slow
def test_success_on_one_host(cloud):
    code, out, err = play(cloud, SUCCESS)
    assert (code, err) == (0, "") and "the experiment says 0" in out and out.endswith("results: runs/deep\n")
    assert verbs(cloud) == ["create", "scp", "ssh", "ssh", "ssh", "ssh", "scp", "delete"]
    assert lines(cloud, "ran") == [["0", "-m", COMMAND[1], "--workdir=runs/deep", COMMAND[2]]]
    assert pathlib.Path("runs/deep/results.csv").read_text() == "depth\n20\n"


def test_success_on_a_pod_slice(cloud):
    code, out, _ = play(cloud, SUCCESS | {"workers": 4}, *POD)
    words = ["-m", COMMAND[1], "--workdir=gs://ours/resjax/deep", "--distributed", COMMAND[2]]
    assert code == 0 and sorted(lines(cloud, "ran")) == [[str(worker), *words] for worker in range(4)]
    assert out.count("the experiment says 0") == 1  # worker 0 alone is watched
    assert verbs(cloud)[-2:] == ["delete", "rsync"] and pathlib.Path("runs/deep/results.csv").exists()


def test_no_capacity(cloud):
    states = ["ACCEPTED", "WAITING_FOR_RESOURCES", "FAILED\tno more capacity in the zone"]
    code, _, err = play(cloud, SUCCESS | {"states": states})
    assert (code, err) == (1, "tpu: deep is FAILED: no more capacity in the zone\n")
    assert verbs(cloud) == ["create", "delete"]


def test_preemption(cloud):
    scenario = SUCCESS | {"follow": ["preempted"], "codes": [None]}
    code, _, err = play(cloud, scenario, "--spot", "--bucket=gs://ours")
    assert (code, err) == (1, "tpu: deep was preempted; the same command goes on from gs://ours/deep\n")
    assert verbs(cloud).count("create") == 1 and verbs(cloud)[-1] == "delete"


def test_a_lost_worker(cloud):
    scenario = SUCCESS | {"workers": 2, "follow": ["lost", "ok"], "codes": [1, 0]}
    code, out, err = play(cloud, scenario, *POD)
    assert (code, err) == (0, "") and "deep lost a worker: the experiment is started again" in out
    assert verbs(cloud).count("create") == 1 and [line[0] for line in lines(cloud, "ran")].count("1") == 2


def test_it_is_not_started_for_ever(cloud):
    code, _, err = play(cloud, SUCCESS | {"codes": [137] * 4})
    assert (code, err) == (1, "tpu: deep: started 4 times and never done\n")
    assert len(lines(cloud, "ran")) == 4 and verbs(cloud)[-1] == "delete"


@pytest.mark.parametrize("event", ("dropped", pytest.param("outage", marks=pytest.mark.slow)))
def test_a_dropped_connection_does_not_end_the_experiment(cloud, event):
    code, _, _ = play(cloud, SUCCESS | {"follow": [event, "ok"]})
    assert code == 0 and len(lines(cloud, "ran")) == 1


@pytest.mark.parametrize("code", (pytest.param(1, marks=pytest.mark.slow), 2))
def test_an_experiment_that_fails(cloud, code):
    found, out, err = play(cloud, SUCCESS | {"codes": [code]})
    assert (found, err) == (code, f"tpu: the experiment failed with exit code {code}: see its last lines above\n")
    assert f"the experiment says {code}" in out and verbs(cloud)[-1] == "delete"
    assert pathlib.Path("runs/deep/results.csv").exists()  # what there is comes home


@pytest.mark.parametrize(
    "number",
    (signal.SIGINT, *(pytest.param(other, marks=pytest.mark.slow) for other in (signal.SIGTERM, signal.SIGHUP))),
)
def test_an_interrupt_deletes_the_slice(cloud, number):
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("ignored, as by nohup")
    seconds = interrupts.GRACE + 1  # after which a command that saves nothing is ended
    scenario = SUCCESS | {"follow": ["wait"], "codes": [None], "seconds": seconds}
    (cloud / "scenario.json").write_text(json.dumps(scenario))
    process = start("--execute")
    until(lambda: (cloud / "watching").exists())
    process.stdout.close()  # as of a `tee` that got the signal, too
    process.send_signal(number)
    until(lambda: verbs(cloud)[-1] == "delete")
    process.send_signal(number)  # again, while it cleans up
    err = process.stderr.read()
    assert (process.wait(30), err) == (128 + number, f"tpu: stopped by {number.name}; the slice is deleted\n")
    assert verbs(cloud)[-1] == "delete" and json.loads((cloud / "states").read_text()) == [""]


def test_a_slice_that_cannot_be_deleted(cloud):
    code, _, err = play(cloud, SUCCESS | {"delete": [1] * 10})
    delete = "gcloud compute tpus queued-resources delete deep --force --zone=us-east5-b --quiet"
    assert (code, err) == (1, f"tpu: deep is not deleted and costs money until it is: {delete}\n")
    copied = cloud / "workers/0/resjax"  # the machine is still there, and has what is committed, and nothing else
    command = ["git", "-C", ROOT, "ls-tree", "-r", "--name-only", "HEAD"]
    committed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    made = {".venv/bin/python", "run.log", "pid", "exit-code", "runs/deep/results.csv"}
    there = {str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file()}
    assert made <= there and there - made == {name for name in committed if not name.startswith("results/")}


def test_a_name_that_is_taken_is_left_alone(cloud):
    (cloud / "states").write_text('["ACTIVE"]')
    code, _, err = play(cloud, SUCCESS)
    assert (code, err.count("\n")) == (2, 1) and "--name=deep: there is one, ACTIVE: take another name" in err
    assert verbs(cloud) == []


def test_results_that_are_there_are_left_alone(cloud):
    pathlib.Path("runs/deep").mkdir(parents=True)
    code, _, err = play(cloud, SUCCESS)
    assert code == 2 and "runs/deep is there already" in err and verbs(cloud) == []


def test_gcloud_that_is_not_installed(cloud, monkeypatch, tmp_path):
    (tmp_path / "git").symlink_to(shutil.which("git"))
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = run("--execute")
    assert (code, err) == (2, "tpu: gcloud is not installed: see docs/machines.md\n")
