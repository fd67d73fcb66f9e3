"""Each family at its best rate: the choice, and what a study's tables say of it."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments import depth_scaling, shortcuts
from resjax.lab import plan, running, tuning
from resjax.lab.bench import Busy
from resjax.lab.flags import parse
from resjax.lab.looks import Reached
from resjax.lab.part import Part
from resjax.lab.trial import Trial
from resjax.system.errors import UserError
from resjax.training import compilation, evaluation, search
from resjax.training.loop import Progress

NAN = math.nan


@pytest.mark.parametrize(
    ("losses", "best"),
    (
        ({0.1: [2.0], 0.3: [1.0], 1.0: [NAN]}, 0.3),
        ({0.3: [1.0], 0.1: [1.0]}, 0.1),  # of equal ones the smallest
        ({0.1: [1.0, 3.0], 0.3: [0.1, 3.8]}, 0.3),  # by the mean, 1.95 against 2
        ({0.1: [5.0, 5.0], 0.3: [0.1, NAN]}, 0.1),  # one that diverges counts before all losses
        ({0.1: [NAN, NAN], 0.3: [NAN, 9.0]}, 0.3),
        ({0.3: [NAN], 0.1: [NAN]}, 0.1),
        ({0.1: [np.inf], 0.3: [7.0]}, 0.3),
    ),
)
def test_the_best_rate_is_by_divergences_and_then_the_mean_loss(losses, best):
    results = {rate: [{"steps": 9, "train_loss": loss} for loss in own] for rate, own in losses.items()}
    assert search.best_rate(results) == best


def test_where_training_ends_at_a_goal_the_fewest_steps_win():
    results = {0.1: [{"steps": 40, "train_loss": 0.001}], 0.3: [{"steps": 20, "train_loss": 0.009}]}
    assert search.best_rate(results) == 0.3


def config(**options):
    return depth_scaling.Config(**options)


def judged(losses, seeds=2, **options):
    """What `tuned` says of the second seed, of networks whose loss is a function of rate and seed; and its order."""
    order = []

    def train_all(trials):
        order.extend((trial.learning_rate, trial.seed) for trial in trials)
        return [{"steps": 9, "train_loss": losses(*each), "test_accuracy": -losses(*each)} for each in order]

    chosen = config(seeds=seeds, **options)
    trial = Trial.of(chosen, depth=8, connection="plain", norm="none", seed=seeds - 1)
    return tuning.tuned(SimpleNamespace(train_all=train_all), trial, chosen), order


def test_all_seeds_have_a_say_and_the_rows_are_of_the_own_seed():
    found, order = judged(lambda rate, seed: abs(rate - 0.3) + seed, learning_rates=(1.0, 0.1, 0.3))
    assert order == [(rate, seed) for rate in (0.1, 0.3, 1.0) for seed in (0, 1)]
    assert (found.trial.learning_rate, found.trial.seed, found.trial.depth, found.at_edge) == (0.3, 1, 8, False)
    assert [(row["learning_rate"], row["seed"], row["chosen"]) for row in found.tried] == [
        (0.1, 1, False),
        (0.3, 1, True),
        (1.0, 1, False),
    ]


def test_the_test_images_have_no_say():
    found, _ = judged(lambda rate, seed: rate, learning_rates=(0.1, 0.2, 0.3))  # accuracy falls with the loss
    assert found.trial.learning_rate == 0.1 and found.at_edge


def test_one_rate_alone_needs_no_choice():
    found, order = judged(lambda rate, seed: rate, learning_rate=0.07)
    assert (found.trial.learning_rate, found.tried, order) == (0.07, [], [])


def test_seeds_that_train_together_are_judged_together():
    losses = {0.1: [1.0, 4.0], 0.2: [2.0, 2.5]}
    chosen = config(learning_rates=(0.1, 0.2), seeds=2, seeds_together=True)
    (trial,) = depth_scaling.trials(
        depth_scaling.Config(**vars(chosen) | {"depths": (8,), "connections": ("plain",), "norms": ("none",)})
    )
    results = {rate: {"steps": 9, "train_loss": own} for rate, own in losses.items()}
    bench = SimpleNamespace(train_all=lambda trials: [results[trial.learning_rate] for trial in trials])
    found = tuning.tuned(bench, trial, chosen)
    assert found.trial.learning_rate == 0.2
    assert [(row["seed"], row["train_loss"]) for row in found.tried] == [(0, 1.0), (1, 4.0), (0, 2.0), (1, 2.5)]


@pytest.mark.parametrize(
    ("flags", "rates"),
    (
        ([], (0.001, 0.01, 0.1)),
        (["--learning_rate=0.05"], (0.05,)),
        (["--learning_rates=1e-1,1e-3"], (1e-3, 1e-1)),
        (["--preset=resnet20_cifar10"], (0.1,)),
        (["--preset=resnet20_cifar10", "--learning_rates=0.3,0.1"], (0.1, 0.3)),
    ),
)
def test_which_rates_are_asked_for(flags, rates):
    assert parse(depth_scaling.Config, ["", *flags]).rates == rates


@pytest.mark.parametrize(
    ("options", "says"),
    (
        ({"learning_rate": 0.1, "learning_rates": (0.1, 0.2)}, "--learning_rate=0.1: goes without --learning_rates"),
        ({"learning_rates": (0.0, 0.1)}, "--learning_rates=0.0: must be at least"),
        ({"learning_rates": (0.1, 0.1)}, "--learning_rates=0.1,0.1: give one value or several different ones"),
    ),
)
def test_rates_that_cannot_be_are_refused(options, says):
    with pytest.raises(UserError, match=says.replace(".", r"\.")):
        config(**options)


@pytest.mark.parametrize("experiment", (depth_scaling, shortcuts))  # the second one asks for the best rate itself
def test_a_shard_trains_all_rates_of_its_own_networks_and_leaves_the_choice(experiment):
    trained = []
    bench = SimpleNamespace(train_all=lambda trials: trained.extend(trials), done=lambda share: None)
    chosen = experiment.Config(shard="1/2", learning_rates=(0.1, 0.2), seeds=3)
    trial = Trial.of(chosen, depth=8, connection="plain", norm="none", seed=1, shortcut="pad", projections=0)
    part = Part({}, chosen, trial if experiment is depth_scaling else ("table1", trial))
    assert running._rows(experiment.STUDY, bench, [part]) == [[]]
    assert [(each.learning_rate, each.seed) for each in trained] == [(0.1, 1), (0.2, 1)]


def test_what_is_swept_stands_for_the_tuple_of_an_option_of_several_values():
    part = Part({"augment": "flip", "width": 8}, None, Trial(augment=("flip",), width=9))
    assert (part.key["augment"], part.key["width"]) == ("flip", 9)


def test_tables_have_each_family_at_its_best_and_all_that_was_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "keep", lambda folder: None)
    own = {"depths": (4,), "connections": ("plain",), "norms": ("none",), "width": 8, "steps": 20, "seeds": 2}
    chosen = config(workdir=str(tmp_path / "a"), learning_rates=(1e-6, 0.1, 1e9), log_every=10, **own)
    depth_scaling.STUDY.run(chosen)
    results = pd.read_csv(tmp_path / "a/results.csv")
    rates = pd.read_csv(tmp_path / "a/rates.csv")
    assert results["learning_rate"].tolist() == [0.1, 0.1] and not results["at_edge"].any()
    assert rates["learning_rate"].tolist() == [1e-6, 0.1, 1e9] * 2
    best = rates[rates["chosen"]].reset_index()
    pd.testing.assert_frame_equal(best[["seed", "train_loss"]], results[["seed", "train_loss"]])
    alone = config(workdir=str(tmp_path / "b"), learning_rate=0.1, log_every=10, **own)
    depth_scaling.STUDY.run(alone)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "b/results.csv").drop(columns="at_edge"), results.drop(columns="at_edge")
    )


def test_what_another_process_trains_is_waited_for_after_all_others(tmp_path):
    done = []

    def train(trial):
        if trial == 2:
            raise Busy("2")
        done.append(trial)

    from resjax.lab.bench import Bench

    with pytest.raises(Busy):
        Bench.train_all(SimpleNamespace(train=train), [1, 2, 3])
    assert done == [1, 3]


@pytest.mark.parametrize(
    ("loss", "accuracy", "reached"), ((0.1, 0.5, True), (0.3, 0.9, False), (0.1, 0.4, False), (NAN, 0.9, False))
)
def test_a_goal_is_reached_by_numbers_alone(monkeypatch, loss, accuracy, reached):
    trial = Trial(depth=4, width=4, stop_accuracy=0.5, stop_loss=0.2, stop_every=5)
    planned = plan.plan(trial)
    progress = Progress(plan.start(planned, trial), plan.batches(trial, planned.dataset), step=5)
    monkeypatch.setattr(evaluation, "evaluate", lambda *arguments, **options: (loss, accuracy))
    saved = []
    look = Reached(trial, planned, None, SimpleNamespace(write=saved.append))
    assert look(progress) == reached == bool(saved)
