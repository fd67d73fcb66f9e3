"""Bad input to the real command: one line on stderr, its exit code, no traceback, nothing on disk touched."""

import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest
from commands import POINTS, SMALL, run, start

from resjax.lab import flags
from resjax.system import interrupts

FILES = {"results": ["csv"], "timings": ["csv"], "curves": ["csv", "png", "pdf"], "figure": ["png", "pdf"]}


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*") if path.name != "lock"}


def refused(tmp_path, *arguments, code=2, experiment="depth_scaling"):
    """Runs the command, asserts that it refuses in one line and leaves no trace, and returns the line."""
    before = contents(tmp_path)
    found, _, err = run(experiment, *arguments)
    assert (found, err.count("\n")) == (code, 1), err
    assert "Traceback" not in err and contents(tmp_path) == before
    return err


@pytest.fixture
def refused_here(tmp_path, monkeypatch, capfd):
    """As `refused`, in this process: the same but for Python's own start, which takes seconds."""
    before = {number: signal.getsignal(number) for number in interrupts.STOPPING}

    def refused(*arguments, experiment="depth_scaling"):
        module = importlib.import_module(experiment if "." in experiment else f"experiments.{experiment}")
        monkeypatch.setattr(sys, "argv", [experiment, *arguments, f"--workdir={tmp_path}/run"])
        with pytest.raises(SystemExit) as left:
            flags.main(module.Config, module.run)
        err = capfd.readouterr().err
        assert (left.value.code, err.count("\n")) == (2, 1) and not list(tmp_path.iterdir()), err
        return err

    yield refused
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_bad_flag_of_the_real_command(tmp_path):
    assert "Did you mean: depths" in refused(tmp_path, "--dephts=4", f"--workdir={tmp_path}/run")


BAD = (
    (["--depths=0"], "--depths=0: must be at least 1"),
    (["--depths=4,abc"], "abc"),
    (["--depths=5"], "--network=dense: depth 5: dense with 2 layers a branch has depth 2 + 2·n; nearest: 4 and 6"),
    (
        ["--connections=residul"],
        "unknown connection 'residul': known are plain, residual, projection, scaled, rezero",
    ),
    (["--norms=batch,grop"], "unknown norm 'grop': known are none, batch, center, layer, rms"),
    (["--dataset=nosuchset"], "unknown dataset 'nosuchset': known are digits"),
    (["--dataset=mnist", "--data_dir=/nowhere"], "python -m resjax.prepare --dataset=mnist --data_dir=/nowhere"),
    (
        ["--network=resnet", "--depths=21"],
        "--network=resnet: depth 21: resnet with 2 layers a branch has depth 2 + 6·n; nearest: 20 and 26",
    ),
    (["--network=imagenet", "--depths=18"], "--network=imagenet: needs images of 32×32 or more, digits has 8×8"),
    (["--preset=resnet56_cifar10", "--dataset=digits"], "is for cifar10 (colour 32×32 images), not for"),
    (["--examples=1501"], "--examples=1501: digits has 1500 training images"),
    (["--augment=rotate"], "unknown augmentation 'rotate': known are crop, flip"),
    (["--seeds=0"], "--seeds=0: must be at least 1"),
    (["--batch_size=1501"], "--batch_size=1501: digits has 1500 training images"),
    (["--plot_only"], "there is no run in"),
    (["--coordinator=here:1"], "--coordinator=here:1: goes with --distributed"),
    (["--compile_cache=ftp://abc/d"], "ftp://abc/d: must be a directory or gs://BUCKET/FOLDER"),
)


@pytest.mark.parametrize(("arguments", "says"), BAD)
def test_bad_flags(refused_here, arguments, says):
    assert says in refused_here(*arguments)


def test_a_bucket_without_what_reads_it(refused_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert "gs://abc/d: buckets need the extra [gcs]" in refused_here("--compile_cache=gs://abc/d")


@pytest.mark.parametrize(
    ("experiment", "arguments", "says"),
    (
        ("benchmarks.throughput", ["--turns=0"], "--turns=0: must be at least 1"),
        ("depth_frontier", ["--max_depth=-3"], "--max_depth=-3: must be at least 1"),
        ("depth_frontier", ["--max_depth=3"], "--network=dense: depth 3: dense with 2 layers a branch has depth 2"),
        ("signal_propagation", ["--block=collections:OrderedDict"], "is no flax.linen.Module but OrderedDict"),
        ("signal_propagation", ["--block=own_blocks:Wider"], "Wider makes 257 of 256, not its own shape"),
        ("signal_propagation", ["--inputs=8,8"], "--inputs=8,8: give height, width and channels"),
        ("shattered_gradients", ["--lags=256"], "--lags=256: must be less than --points=256"),
        ("learning_rate", ["--smallest=3", "--largest=3"], "--smallest=3.0: must be less than --largest=3.0"),
    ),
)
def test_bad_flags_of_other_experiments(refused_here, monkeypatch, experiment, arguments, says):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    assert says in refused_here(*arguments, experiment=experiment)


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
    assert names == {"config.json", "env.json", "lock", "points", "tables.json"} | {
        f"{name}.{kind}" for name, kinds in FILES.items() for kind in kinds
    }
    header = "depth,connection,norm,seed,parameters,train_loss,train_accuracy,test_accuracy,diverged"
    assert (finished / "results.csv").read_text().splitlines()[0] == header
    for point in (finished / "points").iterdir():
        assert {"config.json", "metrics.jsonl", "checkpoints", "manifests", "done.json"} == {
            path.name for path in point.iterdir()
        }


def test_another_configuration(copy, tmp_path):
    assert "width is 8 there and 9 here" in refused(tmp_path, *SMALL, "--steps=40", "--width=9", f"--workdir={copy}")


def test_a_damaged_table(copy, tmp_path):
    table = copy / "results.csv"
    table.write_text(table.read_text().replace("residual", "residual,"))
    assert "results.csv is damaged" in refused(tmp_path, *SMALL, "--steps=40", f"--workdir={copy}", code=1)


def test_a_damaged_record(copy, tmp_path):
    done = next(copy.glob("points/*/done.json"))
    done.write_text(done.read_text().replace("0.", "1.", 1))
    assert "done.json is damaged" in refused(tmp_path, *SMALL, "--steps=40", f"--workdir={copy}", code=1)


def test_damaged_checkpoints(copy):
    point = next(copy.glob("points/*"))
    (point / "done.json").unlink()
    for path in point.rglob("checkpoints/*/train_state/_METADATA"):
        path.write_bytes(path.read_bytes()[:-1])
    code, _, err = run("depth_scaling", *SMALL, "--steps=40", f"--workdir={copy}")
    assert code == 1 and "Traceback" not in err and "is damaged: remove the folder" in err.splitlines()[-1]
    assert len(list(copy.glob("points/*/done.json"))) == POINTS - 1 and any(
        point.rglob("checkpoints/*/train_state/_METADATA")
    )


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_save_that_fails_half_way(tmp_path):
    """As a full quota does it, which nobody sees beforehand: here no file may become larger than 200 kB."""
    arguments = (*SMALL, "--depths=4", "--width=256", "--steps=20", f"--workdir={tmp_path}/run")
    process = start("depth_scaling", *arguments)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
    _, err = process.communicate(timeout=300)
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
        done = len(list(disk.glob("run/points/*/done.json")))
        os.sync()
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        code, out, err = run("depth_scaling", *SMALL, "--width=64", f"--workdir={disk}/run")
        assert (code, err) == (0, "") and 0 < out.count(": train accuracy") == POINTS - done < POINTS
    finally:
        subprocess.run(["umount", disk], check=True)
