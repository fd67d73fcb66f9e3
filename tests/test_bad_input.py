"""Bad input to a command: one line on stderr, its exit code, no traceback, nothing on disk touched."""

import os
import pathlib
import resource
import shutil
import subprocess

import pytest
from commands import NETWORKS, SMALL, run, start

from tests.torture.commands import here

FILES = {
    "rates": ("csv",),
    "results": ["csv"],
    "timings": ["csv"],
    "held_out": ["csv"],
    "curves": ["csv", "png", "pdf"],
    "figure": ["png", "pdf"],
}


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*") if path.name != "lock"}


def refused(tmp_path, *arguments, code=2, experiment="depth_scaling", by=here):
    """Runs the command, asserts that it refuses in one line and leaves no trace, and returns the line."""
    before = contents(tmp_path)
    found, _, err = by(experiment, *arguments)
    assert (found, err.count("\n")) == (code, 1), err
    assert "Traceback" not in err and contents(tmp_path) == before
    return err


def test_a_bad_flag_of_the_real_command(tmp_path):
    assert "Did you mean: depths" in refused(tmp_path, "--dephts=4", f"--workdir={tmp_path}/run", by=run)


def test_a_platform_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nowhere")
    line = refused(tmp_path, f"--workdir={tmp_path}/run", by=run)
    assert line.startswith("depth_scaling: JAX_PLATFORMS=nowhere: Unable to initialize backend 'nowhere'")


@pytest.mark.slow
def test_a_variable_that_jax_cannot_read(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "nonsense")
    line = refused(tmp_path, f"--workdir={tmp_path}/run", by=run)
    assert line == "depth_scaling: invalid truth value 'nonsense' for environment 'JAX_ENABLE_X64'\n"


def test_a_terminal_that_has_not_every_letter_and_the_home_of_who_runs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("HOME", str(tmp_path))
    code, out, err = run("depth_scaling", *SMALL[1:], "--depths=4", "--steps=20", "--workdir=~/run", "--store=~/store")
    assert (code, err) == (0, "") and out.isascii(), err
    assert {path.name for path in tmp_path.iterdir()} >= {"run", "store"} and not pathlib.Path("~").exists()
    assert run("depth_scaling", "--help")[::2] == (0, "")


def test_a_work_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(tmp_path, f"--workdir={tmp_path}/file")


@pytest.mark.parametrize("folder", ("/proc/nowhere", "/dev/null/run"))
def test_a_work_directory_that_cannot_be_written(tmp_path, folder):
    assert f"--workdir={folder}" in refused(tmp_path, f"--workdir={folder}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run to damage copies of."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    code, out, err = run("depth_scaling", *SMALL, "--steps=40", f"--workdir={workdir}")
    assert (code, err) == (0, ""), err
    assert f"figure: {workdir}/figure.png" in out
    return workdir


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_a_run_leaves_its_records(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {"config.json", "env.json", "lock", "store", "SHA256SUMS"} | {
        f"{name}.{kind}" for name, kinds in FILES.items() for kind in kinds
    }
    header = (
        "depth,connection,norm,seed,learning_rate,at_edge,parameters,train_loss,train_accuracy,test_accuracy,diverged"
    )
    assert (finished / "results.csv").read_text().splitlines()[0] == header
    networks = list((finished / "store").glob("dense-*"))
    assert len(networks) == NETWORKS
    for network in networks:
        assert {"config.json", "metrics.jsonl", "checkpoints", "done.json", "SHA256SUMS", "lock"} == {
            path.name for path in network.iterdir()
        }


def test_drawing_with_other_options(copy, tmp_path):
    arguments = (*SMALL, "--steps=40", "--width=9", "--plot_only", f"--workdir={copy}")
    assert "width is 8 there and 9 here" in refused(tmp_path, *arguments)


def test_another_experiment(copy, tmp_path):
    message = refused(tmp_path, f"--workdir={copy}", experiment="signal_propagation")
    assert "holds the tables of depth_scaling: give another one" in message


def test_a_damaged_record(copy, tmp_path):
    done = next(copy.glob("store/*/done.json"))
    done.write_text(done.read_text().replace("0.", "1.", 1))
    assert "done.json is damaged" in refused(tmp_path, *SMALL, "--steps=40", f"--workdir={copy}", code=1)


def test_damaged_checkpoints(copy):
    network = next(copy.glob("store/dense-*"))
    (network / "done.json").unlink()
    for path in network.rglob("checkpoints/*/train_state/_METADATA"):
        path.write_bytes(path.read_bytes()[:-1])
    code, _, err = run("depth_scaling", *SMALL, "--steps=40", f"--workdir={copy}")
    assert code == 1 and "Traceback" not in err and "is damaged: remove the folder" in err.splitlines()[-1]
    assert len(list(copy.glob("store/*/done.json"))) == NETWORKS - 1 and any(
        network.rglob("checkpoints/*/train_state/_METADATA")
    )


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_save_that_fails_half_way(tmp_path):
    """As a full quota does it, which nobody sees beforehand: here no file may become larger than 200 kB."""
    arguments = (*SMALL, "--depths=4", "--width=256", "--steps=20", f"--workdir={tmp_path}/run")
    process = start("depth_scaling", *arguments)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
    _, err = process.communicate()
    assert (process.returncode, err.count("\n")) == (1, 1) and "cannot write checkpoint" in err, err
    assert run("depth_scaling", *arguments)[::2] == (0, "")


@pytest.mark.slow
def test_a_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        code, out, err = run("depth_scaling", *SMALL, "--width=64", f"--workdir={disk}/run")
        assert (code, err.count("\n")) == (1, 1) and "cannot write" in err and "Traceback" not in err, err
        done = len(list(disk.glob("run/store/*/done.json")))
        os.sync()
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        code, out, err = run("depth_scaling", *SMALL, "--width=64", f"--workdir={disk}/run")
        assert (code, err) == (0, "") and 0 < out.count(": train accuracy") == NETWORKS - done < NETWORKS
    finally:
        subprocess.run(["umount", disk], check=True)
