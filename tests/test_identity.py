"""Identity layers and what runs under many learning rates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, jitter

from experiments import identity_networks
from experiments.learning_rate import LAST
from experiments.learning_rate_trial import Trials
from resjax import models, nn
from resjax.lab.config import Point
from resjax.lab.plan import batches, plan
from resjax.training.step import initialize, train_step


def test_identity_layers_leave_a_plain_network_what_it_is():
    shallow, deep = (models.dense(depth, 5, connection=nn.Plain(), order=nn.POST, classes=3) for depth in (6, 12))
    images = jax.random.normal(jax.random.key(0), (7, 2, 2, 1), jnp.float64)
    params, state = jax.jit(shallow.init)(jax.random.key(1), images)
    params = jitter(double(params), 2)
    state = jitter(double(state), 3)
    found = deep.apply(*identity_networks.deepen(params, state, deep.length), images)[0]
    close(found, shallow.apply(params, state, images)[0], 1e-10)


def test_a_trial_is_a_training_run_at_its_rate():
    point = Point(depth=4, width=8, steps=6, batch_size=32, optimizer="adam")
    network, optimizer, dataset = plan(dataclasses.replace(point, learning_rate=0.3))
    tx = optimizer.build()
    state = initialize(network, tx, jax.random.key(0), jnp.zeros((1, *dataset.train.shape), jnp.float32))
    source = batches(point, dataset)
    losses = []
    for step in range(6):
        state, loss, _ = train_step(network, tx, state, source.at(step))
        losses.append(float(loss))
    trial = Trials(point, LAST).at(0.3)
    assert trial["first_loss"] == pytest.approx(losses[0], rel=1e-6)
    assert trial["last_loss"] == pytest.approx(np.mean(losses[-5:]), rel=1e-4)
    assert not trial["diverged"] and len(trial["gradient_norms"]) == 6


def test_a_rate_too_large_diverges_and_the_step_is_known():
    trial = Trials(Point(depth=6, width=8, norm="none", connection="plain", steps=20, batch_size=32), LAST).at(1e20)
    assert trial["diverged"] and 2 <= trial["diverged_step"] <= 4
