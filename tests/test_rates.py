"""Runs at many learning rates, and the search for the largest that is stable."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resjax import data, models, nn
from resjax.training.rate_trial import Trial, run
from resjax.training.search import stable_rates
from resjax.training.step import initialize, train_step

KEY = jax.random.key(0)
RATES = [2.0**power for power in range(-12, 8)]


def test_a_trial_is_a_training_run_at_its_rate():
    network = models.dense(4, width=8)
    digits = data.digits().train
    tx = optax.adam(0.3)
    state = initialize(network, tx, KEY, jnp.zeros((1, *digits.shape)))
    batches = digits.batches(32, (), KEY)
    losses = []
    for step in range(6):
        state, loss, _ = train_step(network, tx, state, batches.at(step))
        losses.append(float(loss))
    trial = run(network, optax.adam(1.0), digits, 0.3, steps=6, batch_size=32, key=KEY)
    assert trial.first_loss == pytest.approx(losses[0], rel=1e-6)
    assert trial.last_loss == pytest.approx(np.mean(losses[-5:]), rel=1e-4)
    assert not trial.diverged and len(trial.gradient_norms) == 6


def test_a_rate_too_large_diverges_and_the_step_is_known():
    network = models.dense(6, width=8, norm=nn.NoNorm(), connection=nn.Plain())
    trial = run(network, optax.sgd(1.0), data.digits().train, 1e20, steps=20, batch_size=32, key=KEY)
    assert trial.diverged and 2 <= trial.diverged_step <= 4 and math.isnan(trial.last_loss)


def tried_at(rate, edge):
    """A trial as it might be: stable below the edge, and best where log2(rate) is −5."""
    diverged = rate >= edge
    last_loss = math.nan if diverged else abs(math.log2(rate) + 5)
    return Trial(rate, 1.0, last_loss, diverged, 3 if diverged else None, (1.0,))


@given(st.integers(0, len(RATES)), st.integers(0, 6))
def test_the_largest_stable_rate_is_found_and_so_many_below_are_tried(place, below):
    edge = [*RATES, math.inf][place]
    found = stable_rates(lambda rate: tried_at(rate, edge), RATES, below)
    stable = [rate for rate in RATES if rate < edge]
    assert found.largest == (stable[-1] if stable else 0)
    assert (found.diverging and found.diverging.rate) == (edge if place < len(RATES) else None)
    tried = [trial.rate for trial in found.tried]
    assert set(stable[-1 - below :]) <= set(tried) and len(set(tried)) == len(tried)
    sound = [trial.last_loss for trial in found.tried if not trial.diverged]
    assert (found.best and found.best.last_loss) == (min(sound) if sound else None)
