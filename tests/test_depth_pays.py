"""The experiment `depth_pays`: equal parameters, the shallow network with other steps, and what its figure compares."""

import numpy as np
import pandas as pd
import pytest

from experiments import depth_pays as experiment
from resjax.system.errors import UserError
from tests.torture.commands import here

CONFIG = experiment.Config(dataset="hops(k=1,size=3)", depths=(4, 8), connections=("residual",), seeds=2)


def parameters(depth, width, inputs, classes):
    """Of a dense network with layer norm, full pre-activation: a stem, depth − 2 layers with a norm each, a head."""
    stem = inputs * width + width
    layers = (depth - 2) * (width * width + width + 2 * width)
    return stem + layers + 2 * width + width * classes + classes


@pytest.mark.parametrize(("depth", "times"), ((4, 0.25), (8, 1), (4, 4)))
def test_a_network_is_as_wide_as_its_parameters_allow(depth, times):
    (trial,) = {
        experiment.sized(trial, times, CONFIG)
        for trial in experiment.trials(CONFIG)
        if (trial.depth, trial.steps) == (depth, CONFIG.steps)
    }
    most = CONFIG.parameters / times
    assert parameters(depth, trial.width, 12, 3) <= most < parameters(depth, trial.width + 1, 12, 3)
    assert trial.steps == times * CONFIG.steps


def test_every_depth_at_equal_parameters_and_the_shallowest_with_other_steps():
    found = [(trial.depth, trial.steps, trial.num_seeds) for trial in experiment.trials(CONFIG)]
    assert found == [(4, 2000, 2), (8, 2000, 2), (4, 500, 2), (4, 8000, 2)]


def test_too_few_parameters_are_refused():
    with pytest.raises(UserError, match="--parameters=10: too few for 4 layers"):
        experiment.trials(experiment.Config(parameters=10))


def test_the_best_shallow_network_is_chosen_by_training_loss():
    results = pd.DataFrame(
        {
            "connection": "residual", "norm": "layer", "width": 8,
            "depth": [4, 4, 4, 4, 4, 4, 8, 8],
            "steps": [10, 10, 20, 20, 40, 40, 10, 10],
            "train_loss": [0.3, 0.5, 0.2, 0.4, 0.1, np.nan, 0.0, 0.0],
            "test_accuracy": [0.9, 0.9, 0.7, 0.8, 1.0, np.nan, 1.0, 1.0],
        }
    )  # fmt: skip
    assert experiment.best_shallow(results)["test_accuracy"].tolist() == [0.7, 0.8]


@pytest.mark.slow
def test_the_experiment_leaves_its_tables_and_figure(tmp_path):
    flags = (
        "--dataset=hops(k=1,size=2)", "--depths=4,6", "--connections=residual", "--parameters=500", "--steps=20",
        "--shallow_steps=0.5", "--learning_rates=0.003,0.01", "--batch_size=16", "--seeds=2", f"--workdir={tmp_path}",
    )  # fmt: skip
    code, out, err = here("depth_pays", *flags)
    assert (code, err) == (0, "") and f"figure: {tmp_path}/figure.png" in out
    results = pd.read_csv(tmp_path / "results.csv")
    assert results["compared"].value_counts().to_dict() == {"equal parameters": 4, "shallow, other steps": 2}
    assert np.allclose(results["parameter_share"], results["parameters"] / 500)
    assert len(pd.read_csv(tmp_path / "rates.csv")) == 12
