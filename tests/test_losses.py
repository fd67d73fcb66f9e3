"""What training makes small, and with which weights it is measured: against the formulas, step by step."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import close, double

import resjax as rj
from resjax.lab.plan import batches, plan, start
from resjax.lab.train import newest, train
from resjax.lab.trial import Trial, address
from resjax.training.evaluation import evaluate
from resjax.training.losses import loss, score, smoothed
from resjax.training.step import train_step
from resjax.training.tasks import Task

SMALL = {"depth": 4, "width": 8, "norm": "batch", "steps": 5, "log_every": 1}


@pytest.mark.parametrize("alpha", (0.0, 0.1, 1.0))
def test_a_smoothed_label_is_spread_over_all_classes(alpha):
    logits = jax.random.normal(jax.random.key(0), (5, 7), jnp.float64)
    labels = jnp.arange(5)
    log_p = np.asarray(logits - jnp.log(jnp.exp(logits).sum(-1, keepdims=True)))
    expected = [-(1 - alpha) * log_p[at, at] - alpha * log_p[at].mean() for at in range(5)]
    close(smoothed(alpha)(logits, labels), jnp.array(expected), 1e-12)


def test_training_steps_along_the_smoothed_loss(tmp_path):
    trial = Trial(**SMALL, label_smoothing=0.3)
    planned = plan(trial)
    found = start(planned, trial)
    images, labels = batches(trial, planned.dataset).at(0).batch(jax.random.key(0), 0)
    logits, _, _ = planned.network.apply(found.params, found.state, images, train=True)
    expected = 0.7 * loss(logits, labels) - 0.3 * jax.nn.log_softmax(logits).mean(-1)
    train(trial, tmp_path)
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    np.testing.assert_allclose(first["loss"], expected.mean(), rtol=1e-5)
    assert planned.learned.loss is smoothed(0.3) and planned.task.loss is loss  # which it is measured by


def test_fit_takes_any_loss():
    network = rj.models.dense(4, width=8)

    def doubled(logits, labels):
        return 2 * loss(logits, labels)

    key = jax.random.key(0)
    one = rj.fit(network, rj.data.digits(), optax.sgd(0.1), steps=3, key=key)
    other = rj.fit(network, rj.data.digits(), optax.sgd(0.05), steps=3, key=key, task=Task(loss=doubled))
    close(one.params, other.params, 1e-5)
    np.testing.assert_allclose(2 * one.history["loss"], other.history["loss"], rtol=1e-5)


@pytest.mark.slow
def test_a_network_is_measured_with_the_average_of_its_weights(tmp_path):
    trial = Trial(**SMALL, ema=0.6)
    planned = plan(trial)
    tx = planned.optimizer.build()
    state = start(planned, trial)
    source = batches(trial, planned.dataset)
    seen = []
    for step in range(trial.steps):
        state, _, _ = train_step(planned.network, tx, state, source.at(step))
        seen.append(double(state.params))
    shares = 0.6 ** np.arange(trial.steps)[::-1]
    mean = jax.tree.map(
        lambda *leaves: sum(s * leaf for s, leaf in zip(shares / shares.sum(), leaves, strict=True)), *seen
    )
    result = train(trial, tmp_path)
    kept = newest(tmp_path, address(trial), start(planned, trial))
    close(double(kept.params), mean, 1e-5)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), mean)
    expected = evaluate(planned.network, params, state.state, planned.dataset.train)
    np.testing.assert_allclose((result["train_loss"], result["train_accuracy"]), expected, rtol=1e-4)


def test_of_sequences_and_of_numbers_an_example_has_the_mean():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5))
    targets = np.array([[0, 4, 2], [1, 1, 3]])
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = [-np.mean([log_p[b, t, targets[b, t]] for t in range(3)]) for b in range(2)]
    close(loss(jnp.array(logits), jnp.array(targets)), jnp.array(expected), 1e-12)
    right = [np.mean([np.argmax(logits[b, t]) == targets[b, t] for t in range(3)]) for b in range(2)]
    close(score(jnp.array(logits), jnp.array(targets)), jnp.array(right), 1e-7)
    numbers = np.array([[1.0, -1.0], [0.5, 2.0]])
    outputs = np.array([[0.0, -1.0], [0.5, 1.0]])
    close(loss(jnp.array(outputs), jnp.array(numbers)), jnp.array([0.5, 0.5]), 0)
    close(score(jnp.array(outputs), jnp.array(numbers)), jnp.array([0.5, 0.5]), 0)


def test_lines_of_the_log_have_the_means_since_the_line_before(tmp_path):
    found = []
    for every in (1, 4):
        train(Trial(**SMALL | {"steps": 9, "log_every": every}), tmp_path / str(every))
        lines = (tmp_path / str(every) / "metrics.jsonl").read_text().splitlines()
        found.append({line["step"]: line["loss"] for line in map(json.loads, lines)})
    each, means = found
    parts = ((1, 4), (5, 8), (9, 9))
    expected = {last: np.mean([each[step] for step in range(first, last + 1)]) for first, last in parts}
    assert means == pytest.approx(expected, rel=1e-12)
