"""Names lead nowhere outside the work directory, and what a stranger has written runs no code."""

import contextlib
import os
import subprocess
import sys

import pytest
from commands import QUICK, ROOT
from hypothesis import given
from hypothesis import strategies as st

from experiments import lesions, lesions_measure
from resjax.lab import other_runs, plan
from resjax.lab.config import Point
from resjax.lab.workdir import WorkDirectory
from resjax.system.errors import UserError
from resjax.system.files import write_checked
from resjax.training.checkpoint import Checkpoints

NO_PICKLE = """
import os, runpy, sys
def hook(event, arguments):
    if event == "pickle.find_class":  # without one a pickle is plain data
        os.write(2, f"unpickled: {arguments}".encode())
        os._exit(7)
sys.addaudithook(hook)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@given(st.text(), st.text())
def test_no_name_of_a_point_leads_outside(connection, norm):
    work = WorkDirectory.__new__(WorkDirectory)
    work.path = ROOT / "runs"
    folder = work.folder(Point(connection=connection, norm=norm))
    assert folder.parent == work.path / "points" and folder.resolve() == folder
    assert len(folder.name) < 200 and folder.name.isascii() and folder.name.isprintable()


@pytest.mark.parametrize(
    "name",
    ("../../etc", "/etc/passwd", "..", "", "mnist/..", "huggingface:mnist", "kaggle:a", "digi\0ts", "mnist:1.0.0"),
)
def test_what_is_no_name_of_a_data_set_is_refused_and_nothing_is_made(tmp_path, name):
    with pytest.raises(UserError, match="unknown dataset"):
        plan.load(Point(dataset=name, data_dir=str(tmp_path / "sets")))
    assert not list(tmp_path.iterdir())


def stranger(tmp_path, **values):
    """A work directory with one network of this configuration, and the name of a checkpoint."""
    folder = tmp_path / "run/points/residual-batch-20-0-12345678"
    (folder / "manifests").mkdir(parents=True)
    (folder / "manifests/5.json").write_text("{}")
    write_checked(folder / "config.json", {"depth": 4} | values)
    return tmp_path / "run"


@pytest.mark.parametrize("name", ("block", "connection", "norm", "survival", "optimizer", "activation", "dataset"))
def test_code_that_another_runs_configuration_names_is_not_imported(tmp_path, monkeypatch, name):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=rf"the {name} in .*config.json is code from elsewhere, trap:Block\(a=1\)"):
        other_runs.networks_of(stranger(tmp_path, **{name: "trap:Block(a=1)"}))


def test_code_that_the_command_line_names_too_is_the_users_own(tmp_path):
    where = str(stranger(tmp_path, block="own_blocks:Mine", connection="residual"))
    taken = lesions_measure.taken(lesions.Config(from_=where, depth=4, block="own_blocks:Mine"))
    assert [point.block for point, _ in taken] == ["own_blocks:Mine"]


@pytest.mark.parametrize(
    "values",
    (
        {"depth": "4"}, {"depth": True}, {"depth": 4.0}, {"depth": None}, {"depth": -1}, {"network": 5},
        {"learning_rate": float("nan")}, {"initializer": ["he_normal"]}, {"augment": [["none"]]}, {"augment": {"a": 1}},
        {"network": "resnet(" + "(" * 999}, {"norm": {"a": [[[]]]}},
    ),
)  # fmt: skip
def test_what_is_no_configuration_is_named(tmp_path, values):
    with pytest.raises(UserError) as error:
        other_runs.networks_of(stranger(tmp_path, **values))
    assert "\n" not in str(error.value) and next(iter(values)) in str(error.value)


def test_a_configuration_too_deep_to_read_is_named(tmp_path):
    run = stranger(tmp_path)
    next(run.glob("points/*/config.json")).write_text("[" * 99_999)
    with pytest.raises(UserError, match=r"config.json is damaged"):
        other_runs.networks_of(run)


def test_where_data_lie_is_not_taken_from_a_stranger(tmp_path):
    ((point, _),) = other_runs.networks_of(
        stranger(tmp_path, data_dir="/stranger/sets", tensorboard=True, mesh="data:8")
    )
    assert (point.data_dir, point.tensorboard, point.mesh) == ("", False, "")


def test_checkpoints_with_other_names_do_not_count(tmp_path):
    (tmp_path / "manifests").mkdir()
    for name in ("..", "²", "-1", "1e3", "7 ", "latest"):
        (tmp_path / f"manifests/{name}.json").write_text("{}")
    assert Checkpoints(tmp_path, "cafe").steps() == []


def test_a_step_that_is_a_link_is_not_followed_when_it_is_removed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.tex").write_text("")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/5").symlink_to(tmp_path / "precious")
    with contextlib.suppress(OSError):
        Checkpoints(tmp_path, "cafe")._remove(5)
    assert (tmp_path / "precious/thesis.tex").exists()


def test_nothing_is_unpickled(tmp_path):
    flags = ["--depths=4", "--width=8", "--connections=residual", "--norms=batch", "--steps=20"]
    command = [sys.executable, "-c", NO_PICKLE, "experiments.depth_scaling", *flags, f"--workdir={tmp_path}/run"]
    for _ in range(2):  # the second one goes on from the first one's checkpoint, with its compiled programs
        found = subprocess.run(command, cwd=ROOT, env=os.environ | QUICK, capture_output=True, text=True, check=False)
        assert (found.returncode, found.stderr) == (0, "")
        next(tmp_path.glob("run/points/*/done.json")).unlink()
