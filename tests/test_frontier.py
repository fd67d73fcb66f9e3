"""Searches for the deepest network that trains, with networks that do as they are told."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import depth_frontier, initialization
from resjax.lab.trial import Start, Trial
from resjax.system.errors import UserError
from resjax.training.search import frontier as search


@given(st.integers(0, 1100), st.integers(4, 1024), st.sampled_from((1, 2, 3)), st.sampled_from((0.0, 0.1, 0.5)))
def test_the_search_finds_the_frontier_to_its_precision(frontier, top, layers, precision):
    depths, tried = range(2 + layers, top + 1, layers), []

    def trains(depth):
        tried.append(depth)
        return depth <= frontier

    found = search(trains, depths, precision)
    possible = [depth for depth in depths if depth <= frontier]
    best = possible[-1] if possible else 0
    assert found <= best and set(tried) <= set(depths) and len(set(tried)) == len(tried) <= 20
    assert best <= found * (1 + precision) or (found == best)


def searched(frontier, **options):
    """The row of the only family, whose networks train up to a depth, and the depths that were trained."""
    trained = []

    def train(trial):
        assert (trial.stop_accuracy, trial.stop_every) == (0.9, 7)
        trained.append(trial.depth)
        return {"train_accuracy": 0.95 if trial.depth <= frontier else float("nan")}

    config = depth_frontier.Config(connections=("plain",), norms=("none",), evaluate_every=7, **options)
    (trial,) = depth_frontier.trials(config)
    ((table, row),) = depth_frontier.rows(SimpleNamespace(train=train), trial, config)
    assert table == "results"
    return row, trained


@pytest.mark.parametrize(("frontier", "ended"), ((3, False), (8, False), (62, False), (64, True)))
def test_a_row_is_the_frontier_of_a_family_and_all_that_was_trained_on_the_way(frontier, ended):
    row, trained = searched(frontier, max_depth=65, precision=0.0)
    assert row["frontier_depth"] == max(0, *(depth for depth in range(4, 65, 2) if depth <= frontier), 0)
    assert row["tried"] == " ".join(f"{depth}:{0.95 if depth <= frontier else float('nan'):.3f}" for depth in trained)
    assert depth_frontier.ended(pd.DataFrame([row])).tolist() == [ended]


def test_the_first_network_of_a_search_is_the_shallowest_of_its_architecture():
    (trial,) = depth_frontier.trials(depth_frontier.Config(network="resnet", connections=("plain",), norms=("none",)))
    assert trial.depth == 8


def test_an_architecture_without_so_shallow_a_network_is_refused():
    with pytest.raises(UserError, match=re.escape("--network=dense: depth 3: dense with 2 layers a branch has depth")):
        depth_frontier.trials(depth_frontier.Config(max_depth=3))


def test_an_initialiser_brings_what_it_needs_and_no_network_comes_twice():
    config = initialization.Config(initializer=("he_normal", "looks_linear", "fixup"), seeds=2)
    trials = [trial for trial in initialization.trials(config) if isinstance(trial, Trial)]
    kinds = [(trial.initializer, trial.activation, trial.connection, trial.seed) for trial in trials]
    he = [("he_normal", activation, "plain", seed) for activation in ("relu", "tanh") for seed in (0, 1)]
    looks_linear = [("looks_linear", "crelu", "plain", seed) for seed in (0, 1)]
    fixup = [("fixup", "relu", "rezero(alpha=1)", seed) for seed in (0, 1)]
    assert kinds == he + looks_linear + fixup and {trial.norm for trial in trials} == {"none"}


def test_a_gradient_that_falls_by_a_factor_a_layer_has_this_factor_as_chi():
    squares = 0.8 ** np.arange(60)[::-1]  # before each block; it falls on its way back
    found = initialization.scale(1.5, squares)
    assert found["chi"] == pytest.approx(0.8) and found["depth_scale"] == pytest.approx(-1 / np.log(0.8))


def test_every_tanh_network_has_the_variance_of_its_row():
    config = initialization.Config(variances=(0.75, 3.0), scale_width=8, scale_depth=30)
    starts = [trial for trial in initialization.trials(config) if isinstance(trial, Start)]
    bench = SimpleNamespace(once=lambda measure, trial, names: {"gradient_mean_square": [1.0] * 28})
    found = [row["weight_variance"] for trial in starts for _, row in initialization.rows(bench, trial, config)]
    assert found == [0.75, 3.0] and {trial.depth for trial in starts} == {30}
