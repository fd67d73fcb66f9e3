import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import close

from resjax.lab.plan import plan
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

W = jnp.array([1.0, -2.0])
G = jnp.array([0.3, 0.4])


def optimizer(**choices):
    return plan(Trial(**choices)).optimizer


def walk(steps=2, **choices):
    """The weights after some steps with the constant gradient G."""
    transformation, weights = optimizer(**choices).build(), W
    state = transformation.init(weights)
    for _ in range(steps):
        updates, state = transformation.update(G, state, weights)
        weights = optax.apply_updates(weights, updates)
    return weights


def test_sgd_has_momentum():
    close(walk(optimizer="sgd(momentum=0.9)", learning_rate=0.1), W - 0.1 * G - 0.1 * 1.9 * G)


def test_weight_decay_of_sgd_is_added_to_the_gradient():
    once = W - 0.1 * (G + 0.5 * W)
    close(walk(1, learning_rate=0.1, weight_decay=0.5), once)


def test_weight_decay_of_adamw_is_decoupled():
    adam, adamw = walk(1, optimizer="adam"), walk(1, optimizer="adamw", weight_decay=0.5)
    close(adamw, adam - 0.05 * 0.5 * W, 1e-9)


def test_clipping_bounds_the_global_norm():
    close(walk(1, clip_norm=0.25, learning_rate=1.0), W - 0.25 * G / 0.5)  # |G| = ½


@pytest.mark.parametrize(
    ("choices", "expected"),
    (
        ({}, {0: 1.0, 199: 1.0}),
        ({"schedule": "cosine"}, {0: 1.0, 100: 0.5, 200: 0.0}),
        ({"schedule": "linear(end=0.5)"}, {0: 1.0, 100: 0.75, 200: 0.5}),
        ({"schedule": "step"}, {99: 1.0, 101: 0.1, 149: 0.1, 151: 0.01}),
        ({"schedule": "cosine", "warmup_steps": 40}, {0: 0.0, 20: 0.5, 40: 1.0, 120: 0.5, 200: 0.0}),
    ),
)
def test_schedule(choices, expected):
    rate = optimizer(learning_rate=1.0, steps=200, **choices).rate()
    np.testing.assert_allclose([rate(step) for step in expected], list(expected.values()), atol=1e-6)


@pytest.mark.parametrize(
    "choices",
    ({"optimizer": "sdg"}, {"schedule": "cosin"}, {"optimizer": "sgd(mometum=1)"}, {"warmup_steps": 200, "steps": 200}),
)
def test_bad_choices_are_refused(choices):
    with pytest.raises(UserError):
        optimizer(**choices)
