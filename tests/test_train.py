import json
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath
from helpers import StopAt, close, same_results

from resjax.data.in_memory import Shuffled
from resjax.lab import bench
from resjax.lab.plan import compile_ahead, plan
from resjax.lab.train import train
from resjax.lab.trial import Trial
from resjax.system.errors import Stopped, UserError
from resjax.training.evaluation import evaluate
from resjax.training.fit import fit
from resjax.training.step import initialize, train_step

TRIAL = Trial(depth=4, width=8, norm="none", connection="plain", steps=30, log_every=10, checkpoint_every=10)


def test_a_step_is_gradient_descent_on_the_batch_of_that_step():
    trial = Trial(depth=4, width=8, norm="none", connection="plain", optimizer="sgd(momentum=0)", batch_size=50)
    network, optimizer, dataset, _, _ = plan(trial)
    tx = optimizer.build()
    found = initialize(network, tx, jax.random.key(0), jnp.zeros((1, *dataset.train.shape)))
    found = found._replace(optimizer=optimizer.filled(found.optimizer))
    order = jax.random.permutation(jax.random.key(1), 1500)
    weights = found.params

    def loss_of(params, images, labels):  # written out, without the package
        (w1, b1), (w4, b4) = ((p["Dense_0"]["kernel"], p["Dense_0"]["bias"]) for p in (params["stem"], params["head"]))
        branch = params["stages"][0][0]["branch"]
        x = images.reshape(50, 64) @ w1 + b1
        for name in ("Dense_0", "Dense_1"):
            x = jnp.where(x > 0, x, 0) @ branch[name]["kernel"][0] + branch[name]["bias"][0]
        logits = jnp.where(x > 0, x, 0) @ w4 + b4
        return -jax.nn.log_softmax(logits)[jnp.arange(50), labels].mean()

    for step in range(3):
        images, labels = dataset.train.take(order[50 * step : 50 * step + 50])
        expected, gradient = jax.value_and_grad(loss_of)(weights, images, labels)
        weights = optax.apply_updates(weights, jax.tree.map(lambda g: -0.05 * g, gradient))
        found, loss, _ = train_step(network, tx, found, Shuffled(dataset.train, order, 50))
        close(loss, expected, 1e-5)
    close(found.params, weights, 1e-5)


def test_evaluation_counts_every_example_once():
    network, optimizer, dataset, _, _ = plan(TRIAL)
    found = initialize(network, optimizer.build(), jax.random.key(0), jnp.zeros((1, *dataset.train.shape)))
    images, labels = dataset.train.take(jnp.arange(1500))
    logits, _, _ = network.apply(found.params, found.state, images)
    losses = -np.asarray(jax.nn.log_softmax(logits))[np.arange(1500), labels]
    expected = losses.mean(dtype=np.float64), np.mean(np.argmax(logits, -1) == labels)
    np.testing.assert_allclose(evaluate(network, found.params, found.state, dataset.train), expected, rtol=1e-6)


def test_a_small_network_learns(tmp_path):
    result = train(Trial(depth=4, steps=100), tmp_path)
    assert result["test_accuracy"] > 0.9 and result["diverged"] is None and result["steps"] == 100


@pytest.mark.parametrize("log_every", (1, 7, 1000))
def test_divergence_is_a_result_with_the_step(tmp_path, log_every):
    trial = Trial(depth=4, width=8, norm="none", learning_rate=1e20, steps=40, log_every=log_every)
    result = train(trial, tmp_path)
    assert math.isnan(result["train_loss"])
    assert result["diverged"] == 2  # the loss at the initial weights is finite, the one after a step of 1e20 is not
    assert not (tmp_path / "checkpoints").exists()


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_goal_ends_training_early_and_its_step_is_logged(tmp_path):
    result = train(Trial(depth=4, steps=200, stop_accuracy=0.8, stop_every=10, log_every=1000), tmp_path)
    assert result["train_accuracy"] >= 0.8 and result["steps"] < 200 and result["steps"] % 10 == 0
    assert lines(tmp_path)[-1]["step"] == result["steps"]


@pytest.mark.parametrize(("log_every", "logged"), ((5, [5, 7]), (7, [7]), (20, [7])))
def test_the_last_step_is_logged(tmp_path, log_every, logged):
    train(Trial(depth=4, width=8, steps=7, log_every=log_every), tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == logged


@pytest.mark.parametrize("log_every", (1, 40))
def test_the_diverging_step_is_logged_without_numbers(tmp_path, log_every):
    train(Trial(depth=4, width=8, norm="none", learning_rate=1e20, steps=40, log_every=log_every), tmp_path)
    last = lines(tmp_path)[-1]
    assert last["step"] == 2 and math.isnan(last["loss"]) and math.isnan(last["accuracy"])
    assert len(lines(tmp_path)) == (2 if log_every == 1 else 1)


@pytest.mark.parametrize("looks", (1, 17, 31, *(pytest.param(looks, marks=pytest.mark.slow) for looks in (0, 29, 33))))
def test_a_stopped_run_goes_on_to_the_same_result(tmp_path, looks):
    undisturbed = train(TRIAL, tmp_path / "undisturbed")
    with pytest.raises(Stopped) as stopped:
        train(TRIAL, tmp_path / "stopped", StopAt(looks))
    assert stopped.value.exit_code == 143
    assert same_results(train(TRIAL, tmp_path / "stopped"), undisturbed)
    metrics = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("undisturbed", "stopped")]
    assert metrics[0] == metrics[1]
    assert [json.loads(line)["step"] for line in metrics[0].splitlines()] == [10, 20, 30]


def test_the_last_step_may_be_the_one_that_diverges(tmp_path):
    trial = Trial(depth=4, width=4, norm="none", learning_rate=1e30, steps=1)
    result = train(trial, tmp_path)  # the loss of the only batch was finite
    assert (result["diverged"], result["steps"]) == (1, 1) and math.isnan(result["train_accuracy"])
    network, _, dataset, _, _ = plan(trial)
    found = fit(network, dataset, optax.sgd(1e30), steps=1, batch_size=64, key=jax.random.key(0))
    assert found.diverged == 1 and math.isnan(found.test_accuracy)


def test_a_network_whose_removal_was_cut_off_is_trained_from_its_start(tmp_path):
    whole = train(TRIAL, tmp_path)
    folder = epath.Path(tmp_path)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(folder), "rmtree", lambda path: (shutil.rmtree(path), raise_(KeyboardInterrupt)))
        bench._clear(folder)
    assert not list(tmp_path.glob("checkpoints")) and (tmp_path / "SHA256SUMS").exists()
    assert same_results(train(TRIAL, tmp_path), whole)


def raise_(error):
    raise error


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UserError, match="batch_size=1501: digits has 1500"):
        plan(Trial(batch_size=1501))


@pytest.mark.parametrize("num_seeds", (pytest.param(0, marks=pytest.mark.slow), 2))
def test_a_network_compiled_ahead_is_not_compiled_again(tmp_path, caplog, num_seeds):
    programs = {"initial_state", "train_step", "evaluate_batch"}

    def compiled(trial, run):
        caplog.clear()
        with jax.log_compiles():
            train(trial, tmp_path / run)
        lines = [line for line in caplog.messages if "XLA compilation" in line]
        return {name for name in programs if any(name in line for line in lines)}

    usual, ahead = (Trial(depth=depth, width=9 + num_seeds, steps=20, num_seeds=num_seeds) for depth in (6, 8))
    assert compiled(usual, "usual") == programs
    compile_ahead(ahead)
    assert compiled(ahead, "ahead") == set()


def test_tensorboard_gets_the_metrics(tmp_path):
    train(Trial(depth=4, width=8, steps=20, log_every=10, tensorboard=True), tmp_path)
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"learning_rate" in events.read_bytes()
