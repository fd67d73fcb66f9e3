"""Width, condition, curvature and steps of the same networks: what a row says, and how networks are ranked."""

from types import SimpleNamespace

import pandas as pd
import pytest

from experiments import wide_chain
from experiments.wide_chain import Config


def row(trained, halfway):
    """The row of one network, by what training to the end and to the matched loss gave; and what was measured."""
    measured = []

    def once(measure, trial, when, **options):
        measured.append((measure.__name__, when, trial.stop_loss))
        return {"condition": 3.0} if measure is wide_chain.condition else {"lambda_max": 7.0}

    config = Config(learning_rate=0.1)
    trial = wide_chain.trials(config)[0]
    results = {trial.stop_loss: trained, config.matched_loss: halfway}
    bench = SimpleNamespace(train=lambda trial: dict(results[trial.stop_loss]), once=once)
    ((table, found),) = wide_chain.rows(bench, trial, config)
    assert table == "results"
    return found, measured


def test_curvature_is_measured_at_the_matched_loss_and_the_condition_at_the_start():
    found, measured = row({"train_loss": 0.009, "train_accuracy": 1.0, "steps": 50}, {"train_loss": 0.09})
    assert (found["condition"], found["lambda_max"], found["steps"]) == (3.0, 7.0, 50)
    assert found["matched"] and found["reached"]
    assert measured == [("condition", "start", 0.01), ("curvature", "trained", 0.1)]


@pytest.mark.parametrize("accuracy", (1.0, 0.99))
def test_a_network_that_does_not_come_so_far_has_no_curvature(accuracy):
    found, measured = row({"train_loss": 0.3, "train_accuracy": accuracy, "steps": 1000}, {"train_loss": 0.3})
    assert not found["matched"] and not found["reached"]
    assert "lambda_max" not in found and [name for name, *_ in measured] == ["condition"]


def test_who_never_gets_there_ranks_behind_all_who_do():
    table = pd.DataFrame({"steps": [30, 1000, 900, 1000], "reached": [True, False, True, True]})
    steps = wide_chain.ranked(table)["steps"]
    assert steps[[0, 2, 3]].tolist() == [30, 900, 1000] and steps[1] > 1000
