"""`launch.tpu` before it rents anything: its command lines, by hand, and what it refuses."""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
import time

import fake_study
import pytest
from commands import ROOT

from launch import command, gcloud, tpu
from launch.gcloud import Config
from resjax.lab import behind, flags
from resjax.system.errors import UserError

ZONE = ("--zone=us-east5-b", "--quiet")
SSH = ("--ssh-flag=-oConnectTimeout=20", "--ssh-flag=-oServerAliveInterval=30")
DOCS = (ROOT / "docs/machines.md").read_text()
STEPS = (*tpu.HIRING, *tpu.RUNNING, gcloud.fetch, gcloud.delete)


def ssh(line):
    return ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "deep", "--worker=all", *SSH, f"--command={line}", *ZONE]


def test_the_request_with_every_option():
    config = Config(name="deep", zone="us-east5-b", accelerator_type="v5litepod-16", bucket="gs://ours")
    first = ["gcloud", "compute", "tpus", "queued-resources", "create", "deep", "--node-id=deep"]
    first += ["--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite"]
    assert gcloud.create(config) == [*first, *ZONE]
    spot = dataclasses.replace(config, spot=True, valid_until_duration="1d12h", zone="")
    assert gcloud.create(spot) == [*first, "--spot", "--valid-until-duration=1d12h", "--quiet"]
    assert gcloud.create(dataclasses.replace(config, reserved=True)) == [*first, "--reserved", *ZONE]


def test_what_installs():
    line = (
        "mkdir -p resjax && tar -xzf resjax.tar.gz -C resjax && cd resjax"
        " && PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv"
        " && python3 -m uv venv --quiet --allow-existing --python=3.12 .venv"
        " && python3 -m uv pip install --quiet -c constraints.txt -e '.[tpu,gcs]'"
    )
    config = Config(name="deep", zone="us-east5-b")
    assert gcloud.install(config) == ssh(line)
    sets = dataclasses.replace(config, datasets="gs://ours/sets")
    assert gcloud.install(sets) == ssh(
        f"{line} && gcloud storage rsync gs://ours/sets ~/tensorflow_datasets --recursive"
    )


@pytest.mark.parametrize(
    ("size", "distributed"),
    (("v5litepod-8", ""), ("v6e-16", "--distributed "), ("v5p-8", ""), ("v4-16", "--distributed ")),
)
def test_what_starts_the_experiment(size, distributed):
    config = Config("deep", size, "us-east5-b", bucket="gs://ours/b", command=("experiments.paths", "--depths=20"))
    assert gcloud.start(config) == ssh(
        "cd resjax || exit; test -e pid && kill -KILL -- -$(cat pid) 2> /dev/null; rm -f exit-code run.log; "
        "setsid bash -c "
        "'JAX_PLATFORMS=tpu,cpu PYTHONUNBUFFERED=1 .venv/bin/python -m experiments.paths --workdir=gs://ours/b/deep "
        f"{distributed}--depths=20; echo $? > exit-code' > run.log 2>&1 < /dev/null & echo $! > pid"
    )


def test_flags_arrive_as_they_were_given(tmp_path):
    wild = ["experiments.depth_scaling", "--data_dir=a 'b' \"c\" $HOME `id` \\ ; & | > < * ~ ü"]
    python = tmp_path / "resjax/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    python.chmod(0o755)
    line = next(word for word in gcloud.start(Config(command=tuple(wild))) if word.startswith("--command="))
    subprocess.run(["bash", "-c", line.removeprefix("--command=")], cwd=tmp_path, check=True)
    while not (tmp_path / "resjax/exit-code").exists():
        time.sleep(0.02)
    assert json.loads((tmp_path / "resjax/run.log").read_text()) == ["-m", wild[0], "--workdir=runs/resjax", wild[1]]


@pytest.mark.slow
def test_the_installed_gcloud_knows_every_command(tmp_path, monkeypatch):
    if not shutil.which("gcloud"):
        pytest.skip("needs gcloud, which no Python package brings")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    plain = Config(zone="us-east5-b", command=("experiments.paths",))
    reserved = dataclasses.replace(plain, reserved=True)
    spot = dataclasses.replace(plain, bucket="gs://ours", spot=True, valid_until_duration="1d12h")
    words = [line for config in (plain, reserved, spot) for step in STEPS if (line := step(config))[0] == "gcloud"]
    words += [shlex.split(line) for line in re.findall(r"^ *(gcloud .*)$", DOCS, re.MULTILINE)]
    # its parser of strings knows no quotes inside quotes, so it is not shown the shell lines
    lines = {" ".join("--command=x" if "--command=" in word else word for word in command) for command in words}
    path = tmp_path / "commands.json"
    path.write_text(json.dumps([{"command_string": line} for line in sorted(lines)]))
    lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={path}"]
    judged = json.loads(subprocess.run(lint, capture_output=True, text=True, check=True).stdout)
    assert len(judged) == len(lines) and not [entry["error_message"] for entry in judged if not entry["success"]]


@pytest.mark.parametrize(
    ("options", "says"),
    (
        ({"name": "Deep"}, "--name=Deep: must be lowercase letters, digits and hyphens"),
        ({"name": "a;b"}, "--name=a;b: must be"),
        ({"name": "deep-"}, "--name=deep-: must be"),
        ({"name": "d" * 64}, "must be lowercase"),
        ({"zone": "us-east5"}, "--zone=us-east5: must be a zone, as us-east5-b"),
        ({"zone": "us-east5-b --async"}, "must be a zone"),
        ({"accelerator_type": "v6e"}, "must be one of v4, v5litepod, v5p, v6e and a size, as v6e-16"),
        ({"accelerator_type": "v9-8"}, "--accelerator_type=v9-8: must be one of"),
        ({"valid_until_duration": "6"}, "--valid_until_duration=6: must be a duration, as 30m, 6h or 1d12h"),
        ({"bucket": "ours"}, "--bucket=ours: must be gs://BUCKET or gs://BUCKET/FOLDER"),
        ({"datasets": "gs://ours;ls"}, "--datasets=gs://ours;ls: must be gs://BUCKET"),
        ({"poll": 0.0}, "--poll=0.0: must be at least 0.001"),
        ({"spot": True}, "--bucket: a slice that is --spot or several machines needs one: give gs://BUCKET/FOLDER"),
        ({"spot": True, "reserved": True}, "--spot: what is --reserved is not spot"),
        ({"accelerator_type": "v6e-16"}, "--bucket: a slice that is --spot or several machines needs one"),
    ),
)
def test_values_that_cannot_be(options, says):
    with pytest.raises(UserError) as error:
        Config(**options)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "says"),
    (
        ((), "give an experiment behind --, as in -- experiments.depth_scaling"),
        (("experiments.nothing",), "-- experiments.nothing: is not an experiment: No module named"),
        (("json",), "-- json: is not an experiment"),
        (("--depths=4",), "-- --depths=4: is not an experiment"),
        (("fake_study", "--depths=3"), "--depths=3: is refused by the experiment"),
        (("fake_study", "--workdir=x"), "-- fake_study --workdir=x: cannot be given here"),
        (("fake_study", "--help"), "-- fake_study --help: cannot be given here"),
    ),
)
def test_experiments_are_planned_before_a_slice_is_paid_for(words, says):
    with pytest.raises(UserError, match=re.escape(says)):
        tpu.run(Config(execute=True, command=words))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit, which the launchers take for theirs."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x"]
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg/file.py").write_text("class Own: ...\n")
    (tmp_path / "notes.txt").write_text("a text")
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=x"], check=True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(command, "ROOT", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("words", (("my_pkg.file",), ("gone", "--block=my_pkg.file:Own(width=3)", "--depths=x.y:z")))
def test_code_of_your_own_is_committed_first(checkout, words):
    command.check_committed((*words, "--dataset=gs://a", "--optimizer=optax:sgd"))
    (checkout / "my_pkg/file.py").write_text("class Own: pass\n")
    with pytest.raises(UserError, match=r"my_pkg\.file: my_pkg/file\.py is not in the last commit as it is here"):
        command.check_committed(words)


def test_files_of_data_are_committed_first(checkout):
    (checkout / "own.npz").touch()
    command.check_committed(("my_pkg.file", "--dataset=text:notes.txt(window=8)"))
    for name in (f"npz:{checkout}/own.npz", "npz:own.npz", "folder:pictures", "text:other.txt(window=8)"):
        with pytest.raises(UserError, match=f"^{name.partition('(')[0]}: is not in the last commit"):
            command.check_committed(("my_pkg.file", f"--dataset={name}"))


def test_the_devices_of_a_mesh_are_those_of_the_slice():
    behind.check(("experiments.depth_scaling", "--mesh=data:8", "--depths=4"))
    with pytest.raises(UserError, match="--mesh=eight: must be data:N"):
        behind.check(("experiments.depth_scaling", "--mesh=eight"))


def test_the_stand_in_is_what_experiments_are():
    from experiments import depth_scaling

    assert callable(depth_scaling.STUDY.check) and callable(fake_study.STUDY.check)


@pytest.mark.parametrize("line", sorted(set(re.findall(r"python -m launch\.tpu (.*-- .*)$", DOCS, re.MULTILINE))))
def test_the_commands_of_the_guide(line):
    config = flags.parse(Config, ["launch.tpu", *shlex.split(line.replace("BUCKET", "bucket"))])
    assert (ROOT / config.command[0].replace(".", "/")).with_suffix(".py").exists()
