import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from commands import run

from experiments import optimization as experiment
from resjax.data import digits, sources
from resjax.lab.plan import load, plan
from resjax.lab.train import train
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

HEADER = (
    "connection,norm,width,depth,seed,random_labels,parameters,steps,train_loss,train_accuracy,test_accuracy,reached,"
    "diverged"
)
SMALL = ("--width=4", "--depths=4", "--connections=residual", "--steps=20", "--examples=64", "--batch_size=32")
STEPS = 200


@pytest.mark.parametrize("share", (0.3, 1.0))
def test_a_drawn_label_is_another_one_with_probability_one_minus_one_over_the_classes(share):
    true = digits().train.labels
    drawn = load(Trial(random_labels=share)).train.labels
    expected = share * (1 - 1 / 10)
    error = (expected * (1 - expected) / len(true)) ** 0.5
    assert abs((true != drawn).mean() - expected) < 3 * error


def test_labels_that_are_drawn_have_all_classes_equally_often():
    counts = np.bincount(load(Trial(random_labels=1.0)).train.labels, minlength=10)
    assert (abs(counts - 150) < 4 * (1500 * 0.1 * 0.9) ** 0.5).all()


def test_random_labels_leave_images_and_held_out_labels_as_they_are():
    true = digits()
    drawn = load(Trial(random_labels=1.0))
    assert np.array_equal(true.train.images, drawn.train.images)
    assert np.array_equal(true.test.labels, drawn.test.labels) and drawn.train.labels.dtype == jnp.int32


def test_the_labels_are_one_draw_for_all_seeds_and_numbers_of_examples():
    trials = Trial(random_labels=1.0, seed=0), Trial(random_labels=1.0, seed=5, examples=100)
    (whole, first) = (plan(trial).dataset.train.labels for trial in trials)
    assert np.array_equal(whole[:100], first)


def test_without_random_labels_the_set_is_as_it_was():
    assert np.array_equal(plan(Trial()).dataset.train.labels, digits().train.labels)


def test_a_larger_share_draws_the_same_images_and_more():
    true, some, more = (load(Trial(random_labels=share)).train.labels for share in (0.0, 0.3, 0.6))
    changed = some != true
    assert np.array_equal(some[changed], more[changed]) and (more != true).sum() > changed.sum()


def test_a_set_that_is_streamed_cannot_have_random_labels(monkeypatch):
    monkeypatch.setattr(sources, "IN_MEMORY_BYTES", 0)
    with (
        tfds.testing.mock_data(num_examples=12),
        pytest.raises(UserError, match=r"--random_labels=0\.5: svhn_cropped is"),
    ):
        load(Trial(dataset="svhn_cropped", data_dir="elsewhere", random_labels=0.5))


@pytest.fixture(scope="module")
def goals(tmp_path_factory):
    """What training ends with for a goal of accuracy, for one of accuracy and loss, and one look before that."""
    folder = tmp_path_factory.mktemp("goals")
    easy = Trial(depth=4, width=32, examples=64, batch_size=32, steps=STEPS, stop_every=5)
    accuracy = train(dataclasses.replace(easy, stop_accuracy=1.0), folder / "accuracy")
    both = train(dataclasses.replace(easy, stop_accuracy=1.0, stop_loss=0.02), folder / "both")
    before = train(dataclasses.replace(easy, steps=both["steps"] - 5), folder / "before")
    return accuracy, both, before


def test_a_goal_of_the_loss_is_reached_after_that_of_the_accuracy(goals):
    accuracy, both, _ = goals
    assert 0 < accuracy["steps"] < both["steps"] < STEPS and both["steps"] % 5 == 0
    assert both["train_loss"] <= 0.02 < accuracy["train_loss"]
    assert both["train_accuracy"] == accuracy["train_accuracy"] == 1


def test_training_ends_at_the_first_look_that_finds_the_goal(goals):
    _, _, before = goals
    assert before["train_accuracy"] < 1 or before["train_loss"] > 0.02


@pytest.mark.parametrize(
    ("flags", "says"),
    (
        ({"random_labels": (1.5,)}, "--random_labels=1.5: must be at most 1"),
        ({"random_labels": (-0.5,)}, "--random_labels=-0.5: must be at least 0"),
        ({"global_loss": -1.0}, "--global_loss=-1.0: must be at least 0"),
        ({"depths": (5,)}, "--network=dense: depth 5: dense with 2 layers a branch"),
        ({"batch_size": 300}, "--batch_size=300: digits has 256 training images"),
    ),
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, flags, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        experiment.STUDY.run(experiment.Config(workdir=f"{tmp_path}/run", **flags))
    assert error.value.exit_code == 2 and "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_same_command_leaves_the_same_table_and_a_figure(tmp_path):
    tables = []
    for name in ("run", "again"):
        code, out, err = run("optimization", *SMALL, f"--workdir={tmp_path}/{name}")
        assert (code, err) == (0, ""), err
        assert f"figure: {tmp_path}/{name}/figure.png" in out and (tmp_path / name / "figure.pdf").exists()
        tables.append((tmp_path / name / "results.csv").read_text())
    assert tables[0] == tables[1] and tables[0].splitlines()[0] == HEADER
    assert pd.read_csv(tmp_path / "run/results.csv")["random_labels"].tolist() == [0, 1]
