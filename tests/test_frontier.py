"""Searches for the deepest network that trains, with networks that do as they are told."""

import re
from types import SimpleNamespace

import numpy as np
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


def searched(frontiers, **options):
    """The rows of the only family, whose networks train up to a depth that the steps decide, at .1 if deeper than 20.

    Also what was trained: steps, depth, rate.
    """
    trained = []

    def train(trial):
        assert (trial.stop_accuracy, trial.stop_every, trial.clip_norm) == (0.9, 7, 2.0)
        trained.append((trial.steps, trial.depth, trial.learning_rate))
        good = trial.depth <= frontiers[trial.steps] and trial.learning_rate == (0.1 if trial.depth > 20 else 0.01)
        accuracy = 0.95 if good else 0.1 * trial.learning_rate if trial.depth < 40 else float("nan")
        return {"train_accuracy": accuracy, "train_loss": 0.0}

    family = {"connections": ("plain",), "norms": ("none",), "clip_norm": (2.0,), "steps": tuple(frontiers)}
    config = depth_frontier.Config(evaluate_every=7, learning_rates=(0.001, 0.01, 0.1), **family, **options)
    (trial,) = depth_frontier.trials(config)
    tables, rows = zip(*depth_frontier.rows(SimpleNamespace(train=train), trial, config), strict=True)
    assert set(tables) == {"results"}
    return rows, trained


@pytest.mark.parametrize(("frontier", "ended"), ((3, False), (8, False), (62, False), (64, True)))
def test_a_row_is_the_frontier_of_a_family_at_its_best_rates(frontier, ended):
    (row,), trained = searched({50: frontier}, max_depth=65, precision=0.0)
    assert row["frontier_depth"] == max(0, *(depth for depth in range(4, 65, 2) if depth <= frontier), 0)
    assert (row["ended"], row["steps"]) == (ended, 50)
    for depth in {depth for _, depth, _ in trained}:
        rates = [rate for _, other, rate in trained if other == depth]
        good = 0.1 if depth > 20 else 0.01
        if depth <= frontier:  # at one of them is enough
            assert rates[-1] == good and f"{depth}:{good:g}" in row["tried"].split()
        else:  # all of them
            assert sorted(rates) == [0.001, 0.01, 0.1]
            best = "0.010" if depth < 40 else "0.000"  # all diverged
            assert f"{depth}:{best}" in row["tried"].split()


def test_the_rate_that_did_is_tried_first_at_the_next_depth():
    _, trained = searched({50: 20}, max_depth=30)
    assert [rate for _, _, rate in trained][:3] == [0.001, 0.01, 0.01]


def test_what_trains_with_fewer_steps_is_taken_to_train_with_more():
    rows, trained = searched({300: 60, 100: 20}, max_depth=100, precision=0.0)
    assert [(row["steps"], row["frontier_depth"]) for row in rows] == [(100, 20), (300, 60)]
    assert min(depth for steps, depth, _ in trained if steps == 300) > 20


def test_the_first_network_of_a_search_is_the_shallowest_of_its_architecture():
    trials = depth_frontier.trials(depth_frontier.Config(network="resnet", connections=("plain",), norms=("none",)))
    assert [(trial.depth, trial.clip_norm) for trial in trials] == [(8, 0.0), (8, 1.0)]


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
