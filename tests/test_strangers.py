"""Names lead nowhere outside the store, and what a stranger has written runs no code."""

import contextlib
import subprocess
import sys

import pytest
from commands import ROOT
from hypothesis import given
from hypothesis import strategies as st

from resjax.lab import plan
from resjax.lab.store import Store
from resjax.lab.trial import Trial
from resjax.system.errors import UserError
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
def test_no_name_of_a_network_leads_outside(connection, norm):
    store = Store(ROOT / "runs/store")
    try:
        folder = store.folder(Trial(connection=connection, norm=norm))
    except UserError:  # what looks like code, but is none
        assert ":" in connection + norm
        return
    assert folder.parent == store.path and folder.resolve() == folder
    assert len(folder.name) < 200 and folder.name.isascii() and folder.name.isprintable()


@pytest.mark.parametrize(
    "name",
    ("../../etc", "/etc/passwd", "..", "", "mnist/..", "huggingface:mnist", "kaggle:a", "digi\0ts", "mnist:1.0.0"),
)
def test_what_is_no_name_of_a_data_set_is_refused_and_nothing_is_made(tmp_path, name):
    with pytest.raises(UserError, match=r"unknown dataset|cannot import"):
        plan.load(Trial(dataset=name, data_dir=str(tmp_path / "sets")))
    assert not list(tmp_path.iterdir())


def test_checkpoints_with_other_names_do_not_count(tmp_path):
    names = ("..", "²", "-1", "1e3", "7 ", "latest", "")
    (tmp_path / "SHA256SUMS").write_text("".join(f"{'0' * 64}  checkpoints/{name}/meta\n" for name in names))
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
    flags = ["--depths=4", "--width=8", "--learning_rate=0.05", "--connections=residual", "--norms=batch", "--steps=20"]
    command = [sys.executable, "-c", NO_PICKLE, "experiments.depth_scaling", *flags, f"--workdir={tmp_path}/run"]
    for _ in range(2):  # the second one goes on from the first one's checkpoint, with its compiled programs
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (found.returncode, found.stderr) == (0, "")
        next(tmp_path.glob("run/store/*/done.json")).unlink()
