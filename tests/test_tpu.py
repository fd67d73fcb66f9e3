"""`launch.tpu` against a stand-in for gcloud: every command line by hand, and every way a slice can end."""

import dataclasses
import importlib
import json
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from commands import ROOT

from launch import gcloud, tpu
from launch.gcloud import Config
from resjax.lab import flags
from resjax.system import interrupts
from resjax.system.errors import UserError

COMMAND = ("--", "experiments.depth_scaling", "--depths=20,56")
ZONE = ("--zone=us-east5-b", "--quiet")
SSH = ("--ssh-flag=-oConnectTimeout=20", "--ssh-flag=-oServerAliveInterval=30")
SCP = ("--scp-flag=-oConnectTimeout=20", "--scp-flag=-oServerAliveInterval=30")
SUCCESS = {
    "workers": 1,
    "states": [["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"]],
    "follow": ["ok"],
    "codes": [0],
}
README = (ROOT / "launch/README.md").read_text()
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
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(here)
    return fake


def start(*arguments, command=COMMAND):
    words = [
        sys.executable,
        "-m",
        "launch.tpu",
        "--name=deep",
        "--zone=us-east5-b",
        "--poll=0.01",
        *arguments,
        *command,
    ]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments, command=COMMAND):
    process = start(*arguments, command=command)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def play(cloud, scenario, *arguments):
    (cloud / "scenario.json").write_text(json.dumps(scenario))
    return run("--execute", *arguments)


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def lines(cloud, name="record"):
    path = cloud / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def verbs(cloud):
    """What was done with gcloud, in a word each, repeated looks at the state left out."""
    words = [next(w for w in ("create", "list", "scp", "ssh", "rsync", "delete") if w in line) for line in lines(cloud)]
    return [word for at, word in enumerate(words) if (word, *words[:at][-1:]) != ("list", "list")]


def tpus(*words):
    return ["gcloud", "compute", "tpus", *words, *ZONE]


def state():
    columns = "--format=value(state.state,state.failedData.error.message)"
    return tpus("queued-resources", "list", "--filter=name~/deep$", columns)


# ---- command lines as data


def test_the_request():
    config = Config(name="deep", zone="us-east5-b", accelerator_type="v5litepod-8")
    assert gcloud.create(config) == tpus(
        "queued-resources",
        "create",
        "deep",
        "--node-id=deep",
        "--accelerator-type=v5litepod-8",
        "--runtime-version=v2-alpha-tpuv5-lite",
    )


def test_the_request_with_every_option():
    config = Config(
        name="deep",
        project="my-project",
        accelerator_type="v6e-16",
        runtime_version="v2-tpuv6e",
        spot=True,
        valid_until_duration="1d12h",
        bucket="gs://ours",
    )
    assert gcloud.create(config) == [
        *("gcloud", "compute", "tpus", "queued-resources", "create", "deep", "--node-id=deep"),
        *("--accelerator-type=v6e-16", "--runtime-version=v2-tpuv6e", "--spot", "--valid-until-duration=1d12h"),
        *("--project=my-project", "--quiet"),
    ]


def test_what_installs():
    line = (
        "mkdir -p resjax && tar -xzf resjax.tar.gz -C resjax && cd resjax"
        " && PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv"
        " && python3 -m uv venv --quiet --allow-existing --python=3.12 .venv"
        " && python3 -m uv pip install --quiet -c constraints.txt -e '.[tpu,gcs]'"
    )
    config = Config(name="deep", zone="us-east5-b")
    assert gcloud.install(config) == tpus("tpu-vm", "ssh", "deep", "--worker=all", *SSH, f"--command={line}")
    sets = dataclasses.replace(config, datasets="gs://ours/sets")
    line += " && gcloud storage rsync gs://ours/sets ~/tensorflow_datasets --recursive"
    assert gcloud.install(sets) == tpus("tpu-vm", "ssh", "deep", "--worker=all", *SSH, f"--command={line}")


def test_what_starts_the_experiment_on_one_host():
    line = (
        "cd resjax || exit; test -e pid && kill -KILL -- -$(cat pid) 2> /dev/null; rm -f exit-code; setsid bash -c "
        "'JAX_PLATFORMS=tpu,cpu PYTHONUNBUFFERED=1 .venv/bin/python -m experiments.depth_scaling --workdir=runs/deep"
        " --depths=20,56; echo $? > exit-code' > run.log 2>&1 < /dev/null & echo $! > pid"
    )
    config = Config(name="deep", zone="us-east5-b", command=COMMAND[1:])
    assert gcloud.start(config) == tpus("tpu-vm", "ssh", "deep", "--worker=all", *SSH, f"--command={line}")


@pytest.mark.parametrize(
    ("size", "several"), (("v5litepod-8", False), ("v6e-16", True), ("v5p-8", False), ("v4-16", True))
)
def test_several_hosts_run_as_one(size, several):
    command = ("launch.sweep", "--shard=1/2", "--", "experiments.paths")
    config = Config(accelerator_type=size, bucket="gs://ours/resjax", command=command)
    added = ["--workdir=gs://ours/resjax/resjax"] + ["--distributed"] * several
    assert gcloud.experiment(config) == [command[0], *added, *command[1:]]


def test_the_archive():
    path = pathlib.Path("runs/deep.tar.gz").absolute()
    assert gcloud.archive(Config(name="deep")) == [
        *("git", "-C", str(ROOT), "archive", "--format=tar.gz", f"--output={path}", "HEAD", "--", ".", ":!results")
    ]


@pytest.mark.slow
def test_the_installed_gcloud_knows_every_command(tmp_path, monkeypatch):
    if not shutil.which("gcloud"):
        pytest.skip("needs gcloud, which no Python package brings")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    plain = Config(zone="us-east5-b", command=COMMAND[1:])
    full = dataclasses.replace(plain, bucket="gs://ours", spot=True, valid_until_duration="1d12h", project="my-project")
    steps = [step for _, step in (*tpu.STEPS, tpu.FETCH, tpu.DELETE)]
    words = [command for config in (plain, full) for step in steps if (command := step(config))[0] == "gcloud"]
    words += [shlex.split(line) for line in re.findall(r"^ *(gcloud .*)$", README, re.MULTILINE)]
    # its parser of strings knows no quotes inside quotes, so it is not shown the shell lines
    commands = {" ".join("--command=x" if "--command=" in word else word for word in command) for command in words}
    path = tmp_path / "commands.json"
    path.write_text(json.dumps([{"command_string": command} for command in sorted(commands)]))
    lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={path}"]
    judged = json.loads(subprocess.run(lint, capture_output=True, text=True, check=True).stdout)
    assert len(judged) == len(commands) and not [entry["error_message"] for entry in judged if not entry["success"]]


def test_flags_arrive_as_they_were_given(tmp_path):
    wild = ["experiments.depth_scaling", "--data_dir=a 'b' \"c\" $HOME `id` \\ ; & | > < * ~ ü"]
    python = tmp_path / "resjax/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    python.chmod(0o755)
    line = next(word for word in gcloud.start(Config(command=tuple(wild))) if word.startswith("--command="))
    subprocess.run(["bash", "-c", line.removeprefix("--command=")], cwd=tmp_path, check=True)
    until(lambda: (tmp_path / "resjax/exit-code").exists())
    assert json.loads((tmp_path / "resjax/run.log").read_text()) == ["-m", wild[0], "--workdir=runs/resjax", wild[1]]


# ---- without --execute


def test_experiments_are_checked_before_a_slice_is_paid_for(cloud):
    for command, says in (
        ((), "give an experiment behind --, as in -- experiments.depth_scaling"),
        (("--", "experiments.nothing"), "-- experiments.nothing: is not an experiment: No module named"),
        (("--", "json"), "-- json: is not an experiment"),
        (("--", "experiments.depth_scaling", "--dephts=4"), "Did you mean: depths"),
        (("--", "experiments.depth_scaling", "--workdir=x"), "takes neither --help nor --workdir"),
        (("--", "experiments.depth_scaling", "--help"), "takes neither --help nor --workdir"),
    ):
        code, _, err = run("--execute", command=command)
        assert (code, err.count("\n")) == (2, 1) and says in err
    assert lines(cloud) == []


@pytest.mark.parametrize(
    ("options", "says"),
    (
        ({"name": "Deep"}, "--name=Deep: must be lowercase letters, digits and hyphens"),
        ({"name": "a;b"}, "--name=a;b: must be"),
        ({"name": "deep-"}, "--name=deep-: must be"),
        ({"name": "d" * 64}, "must be lowercase"),
        ({"zone": "us-east5"}, "--zone=us-east5: must be a zone, as us-east5-b"),
        ({"zone": "us-east5-b --async"}, "must be a zone"),
        ({"project": "x y"}, "--project=x y: must be a project's id"),
        ({"accelerator_type": "v6e"}, "must be a generation and a size, as v5litepod-8 or v6e-16"),
        ({"accelerator_type": "v9-8"}, "known are v4, v5litepod, v5p, v6e"),
        ({"runtime_version": "$(x)"}, "must be a TPU software version"),
        ({"valid_until_duration": "6"}, "--valid_until_duration=6: must be a duration, as 30m, 6h or 1d12h"),
        ({"bucket": "ours"}, "--bucket=ours: must be gs://BUCKET or gs://BUCKET/FOLDER"),
        ({"bucket": "gs://ours/a b"}, "must be gs://BUCKET"),
        ({"datasets": "gs://ours;ls"}, "--datasets=gs://ours;ls: must be gs://BUCKET"),
        ({"tries": -1}, "--tries=-1: must be at least 0"),
        ({"poll": 0.0}, "--poll=0.0: must be more than 0"),
        ({"spot": True}, "--spot: a preempted slice takes its disks along: give --bucket=gs://"),
        ({"accelerator_type": "v6e-16"}, "is several hosts, which need one work directory that all see"),
    ),
)
def test_values_that_cannot_be(options, says):
    with pytest.raises(UserError) as error:
        Config(**options)
    assert says in str(error.value) and "\n" not in str(error.value)


# ---- with --execute


def executed(cloud, scenario, *arguments):
    """Plays a scenario; what it ran, each command once, must be what it prints without --execute."""
    code, out, err = run(*arguments)
    assert (code, err, lines(cloud)) == (0, "", []) and not list(pathlib.Path().iterdir())
    printed = [shlex.split(line) for line in out.splitlines() if line.startswith("gcloud")]
    printed.sort(key=lambda line: line != state())  # before all else it looks whether the name is free
    played = play(cloud, scenario, *arguments)
    assert [*dict.fromkeys(map(tuple, lines(cloud)))] == [*map(tuple, printed)]
    return played


def test_success_on_one_host(cloud):
    code, out, err = executed(cloud, SUCCESS)
    assert (code, err) == (0, "") and "the experiment says 0" in out and out.endswith("results: runs/deep\n")
    assert verbs(cloud) == [
        "list",
        "create",
        "list",
        "scp",
        "ssh",
        "ssh",
        "ssh",
        "ssh",
        "list",
        "scp",
        "list",
        "delete",
    ]
    assert lines(cloud, "ran") == [["0", "-m", COMMAND[1], "--workdir=runs/deep", COMMAND[2]]]
    assert pathlib.Path("runs/deep/results.csv").read_text() == "depth\n20\n"


def test_success_on_a_pod_slice(cloud):
    code, out, _ = executed(cloud, SUCCESS | {"workers": 4}, *POD)
    words = ["-m", COMMAND[1], "--workdir=gs://ours/resjax/deep", "--distributed", COMMAND[2]]
    assert code == 0 and sorted(lines(cloud, "ran")) == [[str(worker), *words] for worker in range(4)]
    assert out.count("the experiment says 0") == 1  # worker 0 alone is watched
    assert verbs(cloud)[-2:] == ["delete", "rsync"] and pathlib.Path("runs/deep/results.csv").exists()


def test_no_capacity(cloud):
    states = [["ACCEPTED", "WAITING_FOR_RESOURCES", "FAILED\tno more capacity in the zone"]]
    code, _, err = play(cloud, {"workers": 1, "states": states})
    assert (code, err) == (1, "tpu: deep is FAILED: no more capacity in the zone\n")
    assert verbs(cloud) == ["list", "create", "list", "delete"]


def test_preemption(cloud):
    states = [["ACTIVE"], ["PROVISIONING", "ACTIVE"]]
    scenario = {"workers": 1, "states": states, "follow": ["preempted", "ok"], "codes": [None, 0]}
    code, out, err = play(cloud, scenario, "--spot", "--bucket=gs://ours")
    assert (code, err) == (0, "") and "deep: SUSPENDED" in out and "the experiment says 0" in out
    once = ["list", "scp", "ssh", "ssh", "ssh", "ssh"]
    assert verbs(cloud) == [
        "list",
        "create",
        *once,
        "list",
        "delete",
        "list",
        "create",
        *once,
        "list",
        "delete",
        "rsync",
    ]
    first, second = lines(cloud, "ran")
    assert first == second  # the same work directory, so it goes on from its checkpoint


def test_a_lost_worker(cloud):
    scenario = {"workers": 2, "states": [["ACTIVE"]], "follow": ["lost", "ok"], "codes": [1, 0]}
    code, out, err = play(cloud, scenario, *POD)
    assert (code, err) == (0, "") and "deep was preempted or lost a worker: start 2" in out
    assert verbs(cloud).count("create") == 1 and [line[0] for line in lines(cloud, "ran")].count("1") == 2


def test_it_is_not_started_more_often_than_it_may(cloud):
    code, _, err = play(cloud, SUCCESS | {"follow": ["ok"] * 2, "codes": [137] * 2}, "--tries=1")
    assert (code, err) == (1, "tpu: deep: started 2 times (--tries=1) and never done\n")
    assert len(lines(cloud, "ran")) == 2 and verbs(cloud)[-1] == "delete"


@pytest.mark.parametrize("event", ("dropped", "outage"))
def test_a_dropped_connection_does_not_end_the_experiment(cloud, event):
    follow = {"follow": [event, "ok"], "codes": [0, 0]}
    code, _, _ = play(cloud, SUCCESS | follow)
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
    assert verbs(cloud) == ["list"]


def test_results_that_are_there_are_left_alone(cloud):
    pathlib.Path("runs/deep").mkdir(parents=True)
    pathlib.Path("runs/deep/results.csv").write_text("mine")
    code, _, err = play(cloud, SUCCESS)
    assert code == 2 and "runs/deep holds results already" in err and verbs(cloud) == ["list"]


def test_gcloud_that_is_not_installed(cloud, monkeypatch, tmp_path):
    (tmp_path / "git").symlink_to(shutil.which("git"))
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = run("--execute")
    assert (code, err) == (2, "tpu: gcloud is not installed: see launch/README.md\n")


# ---- what is written down


@pytest.mark.parametrize("line", sorted(set(re.findall(r"python -m launch\.tpu (.*--.*)$", README, re.MULTILINE))))
def test_the_commands_of_the_readme(line):
    config = flags.parse(Config, ["launch.tpu", *shlex.split(line.replace("BUCKET", "bucket"))])
    tpu.check_command(config)


def experiment_of(text):
    """The experiment's command in a shell script, if its flags exist."""
    module, *arguments = shlex.split(re.search(r"python -m (.*)", text)[1])
    return flags.parse(importlib.import_module(module).Config, [module, *arguments])


def test_the_jobset():
    jobset = yaml.safe_load((ROOT / "launch/jobset.yaml").read_text())
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = jobset["spec"]["replicatedJobs"]
    machines, pod = job["template"]["spec"], job["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    rows, columns = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    chips = machines["parallelism"] * container["resources"]["limits"]["google.com/tpu"]
    assert machines["parallelism"] == machines["completions"] and chips == int(rows) * int(columns)
    assert experiment_of(container["args"][0]).distributed


def test_the_skypilot_task():
    task = yaml.safe_load((ROOT / "launch/skypilot.yaml").read_text())
    generation, _, size = task["resources"]["accelerators"].removeprefix("tpu-").partition("-")
    assert task["resources"]["accelerator_args"] == {"runtime_version": gcloud.RUNTIMES[generation]}
    assert experiment_of(task["run"]).distributed == (int(size) > gcloud.ONE_HOST)
