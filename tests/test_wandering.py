"""Many networks at once: against each of them by itself, and against the theory of random walks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax import theory
from resjax.lab import start, wandering
from resjax.lab.trial import Start
from resjax.probes import forward
from resjax.random_streams import stream

TRIAL = Start(depth=10, connection="plain", norm="none", width=8, inputs=(2, 2, 1))


def test_quantiles_are_those_of_networks_read_one_by_one(monkeypatch):
    monkeypatch.setattr(wandering, "MEMORY", 20_000)  # some of the networks at a time
    found = wandering.read(TRIAL, 7)
    walks = []
    with jax.enable_x64(True):
        network = start.plan(TRIAL)
        for key in jax.random.split(jax.random.key(0), 7):
            x = forward.pairs(stream(key, "inputs"), 1, TRIAL.inputs, 1.0, jnp.float64)[:1]
            params, state = forward.started(network, stream(key, "weights"), x)
            seen = network.apply(params, state, x, train=True, probe=forward.statistics)[2]
            logarithms = np.log(seen["activation_mean_square"])
            walks.append(logarithms - logarithms[0])
    expected = np.sort(walks, axis=0)[[0, 2, 3, 4, 6]]  # of seven: places .3, 1.5, 3, 4.5 and 5.7 of 0 … 6
    shown = np.array(found["activation"]).reshape(5, 4)
    assert found["layer"][:4] == [1, 3, 5, 7] and found["level"][::4] == list(wandering.LEVELS)
    np.testing.assert_allclose(shown[[0, 2, 4]], expected[[0, 2, 4]], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_many_plain_networks_wander_as_the_theory_says():
    """The median of 400 networks to within 4 σ of it, which is √(π/2) of the mean's."""
    depth, width = 42, 16
    found = wandering.read(Start(depth=depth, connection="plain", norm="none", width=width), 400)
    middle = np.array(found["level"]) == 0.5
    mean, variance = theory.random_walk(width)
    for name, steps in (("activation", np.arange(0, 40, 2)), ("gradient", np.arange(38, -1, -2))):
        bound = 4 * np.sqrt(np.pi / 2 * steps * variance / 400) + 1e-12
        skew = 0.05 * np.sqrt(steps * variance)  # of a sum of few logarithms
        assert (np.abs(np.array(found[name])[middle] - steps * mean) <= bound + skew).all()
