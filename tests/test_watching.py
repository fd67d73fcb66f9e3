"""What is looked at while networks train: against networks that trained for so long, and gradients taken by hand."""

import jax
import numpy as np
import optax
import pandas as pd
import pytest
from helpers import StopAt, same_results

from experiments import depth_scaling
from resjax.lab.plan import plan, start
from resjax.lab.store import Store
from resjax.lab.train import train
from resjax.lab.trial import Trial
from resjax.lab.watched import READ, rows
from resjax.system.errors import Stopped
from resjax.training import compilation

SMALL = {"depth": 6, "width": 8, "norm": "batch", "steps": 7, "log_every": 100, "checkpoint_every": 3}
WATCHED = Trial(**SMALL, errors_every=4, probe_every=3)
KEY = ("train_loss", "train_accuracy", "test_accuracy")


def lines(tmp_path, trial):
    """A network is trained: its result, and its rows by table."""
    store = Store(tmp_path)
    result = train(trial, store.folder(trial))
    found = {"errors": [], "blocks": []}
    for table, row in rows(store, trial):
        found[table].append(row)
    return result, {name: pd.DataFrame(table) for name, table in found.items()}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    return lines(tmp_path_factory.mktemp("watched"), WATCHED)


def test_errors_are_those_of_a_network_that_trained_for_so_many_steps(watched, tmp_path):
    result, tables = watched
    errors = tables["errors"].set_index("step")
    assert errors.index.tolist() == [0, 4, 7]
    shorter = train(Trial(**SMALL | {"steps": 4}), tmp_path)
    for step, own in ((4, shorter), (7, result)):
        assert [errors[name][step] for name in KEY] == [own[name] for name in KEY]


def test_looking_changes_nothing_and_nobody_looks_by_default(watched, tmp_path):
    usual, tables = lines(tmp_path, Trial(**SMALL))
    assert same_results(usual, watched[0]) and not any(len(table) for table in tables.values())


def test_blocks_at_the_start_are_what_the_gradient_by_hand_says(watched):
    blocks = watched[1]["blocks"]
    assert blocks["step"].unique().tolist() == [0, 3, 6, 7] and blocks["block"].unique().tolist() == [0, 1]
    planned = plan(WATCHED)
    found = start(planned, WATCHED)
    images, labels = planned.dataset.train.take(np.arange(WATCHED.batch_size))
    network = planned.network

    def loss(params, stream):  # as if a little were added to the stream before the first block
        stem, _ = network.stem.apply(
            {"params": params["stem"], **found.state["stem"]}, images, train=True, mutable=["batch_stats"]
        )
        stream = stem + stream
        y, _, _ = network.stages[0].apply(params["stages"][0], found.state["stages"][0], stream, train=True)
        logits, _ = network.head.apply(
            {"params": params["head"], **found.state["head"]}, y, train=True, mutable=["batch_stats"]
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), stream

    zeros = np.zeros((len(labels), WATCHED.width), np.float32)
    gradient, stream = jax.grad(loss, (0, 1), has_aux=True)(found.params, zeros)
    for block in (0, 1):
        leaves = [leaf[block] for leaf in jax.tree.leaves(gradient[0]["stages"][0])]
        norm = np.sqrt(sum((np.asarray(leaf, np.float64) ** 2).sum() for leaf in leaves))
        row = blocks[(blocks["step"] == 0) & (blocks["block"] == block)].iloc[0]
        np.testing.assert_allclose(row["parameter_gradient_norm"], norm, rtol=1e-4)
    first = blocks.iloc[0]
    np.testing.assert_allclose(first["activation_mean_square"], (stream**2).mean(), rtol=1e-4)
    np.testing.assert_allclose(first["gradient_mean_square"], (gradient[1] ** 2).mean(), rtol=1e-4)


@pytest.mark.parametrize("looks", (1, 5))
def test_a_stopped_run_has_the_same_lines(watched, tmp_path, looks):
    store = Store(tmp_path)
    with pytest.raises(Stopped):
        train(WATCHED, store.folder(WATCHED), StopAt(looks))
    _, tables = lines(tmp_path, WATCHED)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, watched[1][name])


def test_seeds_that_train_together_have_rows_each(watched, tmp_path):
    _, tables = lines(tmp_path, Trial(**SMALL, errors_every=4, probe_every=3, num_seeds=2))
    for name, table in tables.items():
        own = table[table["seed"] == 0].reset_index(drop=True)
        assert set(table["seed"]) == {0, 1} and len(table) == 2 * len(own)
        pd.testing.assert_frame_equal(own, watched[1][name], rtol=0.05, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", (0.05, 1e38))
def test_a_study_has_their_tables_and_figures_where_it_is_asked_for_them(tmp_path, monkeypatch, learning_rate):
    monkeypatch.setattr(compilation, "keep", lambda folder: None)  # for the rest of this process
    usual = dict(depths=(6,), connections=("residual",), norms=("none",), width=8, steps=3)
    config = depth_scaling.Config(
        **usual, learning_rate=learning_rate, evaluate_every=2, probe_every=2, workdir=str(tmp_path)
    )
    depth_scaling.STUDY.run(config)
    tables = {name: pd.read_csv(tmp_path / f"{name}.csv") for name in ("errors", "blocks")}
    steps = [0, 2, 3] if learning_rate < 1 else [0]
    assert [table["step"].unique().tolist() for table in tables.values()] == [steps, steps]
    assert all((tmp_path / f"{name}.pdf").exists() for name in ("figure", "curves", "errors", *READ))
