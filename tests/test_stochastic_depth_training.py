"""Stochastic depth in training: several networks at once, taking a run up again, and the experiment."""

import dataclasses
import re

import jax
import numpy as np
import pytest
from helpers import StopAt, same_results

from resjax.lab.plan import batches, plan, start
from resjax.lab.train import train
from resjax.lab.trial import Trial
from resjax.system.errors import Stopped, UserError
from resjax.training.step import train_step
from tests.torture.commands import here

HALF = "uniform(p=0.5)"


def test_networks_that_train_together_train_as_they_would_alone(tmp_path):
    trial = Trial(depth=6, width=8, steps=12, norm="batch", log_every=5, augment=("crop(pad=1)",))
    together = train(dataclasses.replace(trial, num_seeds=3, seed=4), tmp_path / "together")
    for at in range(3):
        alone = train(dataclasses.replace(trial, seed=4 + at), tmp_path / str(at))
        assert alone["parameters"] == together["parameters"] and alone["steps"] == together["steps"]
        for name in ("train_loss", "train_accuracy", "test_accuracy"):
            np.testing.assert_allclose(together[name][at], alone[name], rtol=1e-3)


def test_networks_that_train_together_share_their_gates():
    trial = Trial(depth=20, width=4, survival=HALF, num_seeds=2, batch_size=16)
    planned = plan(trial)
    state = start(planned, trial)
    source = batches(trial, planned.dataset).at(0)
    tx = planned.optimizer.build()
    program = train_step.lower(planned.network, tx, state, source).as_text()
    assert "stablehlo.case" in program  # a closed gate is a branch not taken, not a selection afterwards
    before = jax.tree.map(np.array, state.params["stages"])
    after = train_step(planned.network, tx, state, source)[0].params["stages"]
    same = [
        np.array(old == new).all(tuple(range(2, old.ndim)))
        for old, new in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    ]
    dropped = np.all(same, axis=0)  # M L
    assert (dropped[0] == dropped[1]).all() and 0 < dropped[0].sum() < 9


@pytest.mark.parametrize(
    ("survival", "says"),
    (
        ("uniform(p=0)", "p=0: must be above 0 and at most 1"),
        ("linear(last=1.5)", "last=1.5: must be above 0 and at most 1"),
        ("linear(last=-0.1)", "last=-0.1: must be above 0 and at most 1"),
        ("stage(number=4,p=0.5)", "stages 1 to 1"),
        ("own_blocks:thirds", "gives 6 probabilities for 9 blocks"),
        ("cubic", "unknown survival 'cubic'"),
    ),
)
def test_probabilities_that_cannot_be(survival, says):
    with pytest.raises(UserError, match=re.escape(says)):
        plan(Trial(depth=20, survival=survival))


@pytest.mark.slow
def test_the_experiment(tmp_path):
    small = ("--depths=8", "--survival=none,linear(last=0.5)", "--width=8", "--steps=20", f"--workdir={tmp_path}")
    code, _, err = here("stochastic_depth", *small)
    assert code == 0, err
    rows = [line.split(",") for line in (tmp_path / "results.csv").read_text().splitlines()[1:]]
    assert [(row[3], row[4]) for row in rows] == [("none", "batch")] + [
        ("linear(last=0.5)", drop) for drop in ("batch", "sample", "subset")
    ]
    assert [float(row[8]) for row in rows] == [3, 2, 2, 2]  # of 3 blocks, (3·3 − 1)/4


def test_a_probability_that_cannot_be_is_one_line_and_nothing_on_disk(tmp_path):
    code, out, err = here("stochastic_depth", "--survival=uniform(p=1.2)", f"--workdir={tmp_path / 'run'}")
    assert (code, out, err.count("\n")) == (2, "", 1) and "p=1.2: must be above 0 and at most 1" in err
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_taken_up_again_has_the_same_gates(tmp_path):
    trial = Trial(depth=12, width=8, steps=20, survival=HALF, log_every=5)
    whole = train(trial, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(trial, tmp_path / "cut", StopAt(7))
    again = train(trial, tmp_path / "cut")
    assert same_results(again, whole)
