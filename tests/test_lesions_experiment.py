"""The experiment `lesions`: what it refuses, its table, and the networks that it finds in the store."""

import re

import pandas as pd
import pytest
from commands import run

from experiments.lesions import STUDY, Config, trials
from resjax.system.errors import UserError

TRAINING = ("--depths=8", "--width=8", "--steps=20", "--batch_size=32", "--connections=residual,plain", "--norms=batch")
LESIONS = ("--deletions=1,2", "--swapped=1,4", "--draws=2", "--survival=none")


def trained(out):
    """The networks that a command says it trained."""
    return re.findall(r"^(.*): train accuracy", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("flag", "says"),
    (
        ("--blocks=1,3", "--blocks=3: the network has blocks 0 to 2"),
        ("--permutation=0,1,3", "--permutation=(0, 1, 3): is no permutation of the blocks 0 to 2"),
        ("--deletions=1,4", "--deletions=4: the network has 3 blocks that can be deleted"),
    ),
)
def test_lesions_that_cannot_be(flag, says):
    with pytest.raises(UserError, match=f"^{re.escape(says)}$"):
        STUDY.check(["--width=8", "--depths=8", "--deletions=1", flag])


def test_plain_networks_are_trained_without_stochastic_depth_only():
    found = trials(Config(connections=("plain", "residual"), survival=("none", "uniform(p=0.5)")))
    kinds = [(trial.connection, trial.survival) for trial in found]
    assert kinds == [("plain", "none"), ("residual", "none"), ("residual", "uniform(p=0.5)")]


@pytest.mark.slow
def test_what_depth_scaling_trained_is_found_and_not_trained_again(tmp_path):
    store = f"--store={tmp_path}/store"
    code, out, err = run("depth_scaling", *TRAINING, store, f"--workdir={tmp_path}/scaling")
    assert (code, err) == (0, "") and len(trained(out)) == 2, err
    networks = set((tmp_path / "store").glob("*-*"))
    code, out, err = run("lesions", *TRAINING, *LESIONS, store, f"--workdir={tmp_path}/lesions")
    assert (code, err) == (0, "") and trained(out) == [], err
    assert set((tmp_path / "store").glob("*-*")) == networks
    scaling, found = (pd.read_csv(tmp_path / name / "results.csv") for name in ("scaling", "lesions"))
    whole = found[found["kind"] == "none"]  # the networks themselves
    assert whole["accuracy"].tolist() == scaling["test_accuracy"].tolist()
    code, out, err = run("lesions", *TRAINING, *LESIONS, "--seeds=2", store, f"--workdir={tmp_path}/two")
    assert (code, err) == (0, "") and len(trained(out)) == 2, err
    assert all("seed 1" in label for label in trained(out))


@pytest.mark.slow
def test_the_experiment(tmp_path):
    code, out, err = run("lesions", *TRAINING, *LESIONS, "--norms=batch,none", f"--workdir={tmp_path}/run")
    assert (code, err) == (0, ""), err
    assert f"figure: {tmp_path}/run/figure.png" in out and (tmp_path / "run/figure.pdf").exists()
    table = pd.read_csv(tmp_path / "run/results.csv")
    header = "connection,norm,depth,survival,seed,kind,count,draw,block,kendall_tau,loss,accuracy"
    assert ",".join(table.columns) == header
    rows = table.groupby(["connection", "norm"])["kind"].value_counts().unstack()
    assert rows.shape == (4, 4) and (rows == {"none": 1, "delete": 3, "delete_random": 4, "swap": 4}).all(axis=None)


@pytest.mark.slow
def test_networks_that_diverged_are_left_out(tmp_path):
    flags = ("--connections=residual", "--norms=none", "--learning_rate=1e20")
    code, out, err = run("lesions", *TRAINING, *LESIONS, *flags, f"--workdir={tmp_path}/run")
    assert (code, err) == (0, ""), err
    assert re.search(r"residual/none depth 8 seed 0: diverged at step \d+ and is left out", out)
    assert len(pd.read_csv(tmp_path / "run/results.csv")) == 0
