import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import close
from hypothesis import given
from hypothesis import strategies as st

from resjax.lab.plan import plan, start
from resjax.lab.trial import Trial
from resjax.system.errors import UserError
from resjax.training.optimizers import adam, adamw, average, averaged, clip, sgd

W = jnp.array([1.0, -2.0])
G = jnp.array([0.3, 0.4])


def optimizer(**choices):
    return plan(Trial(**choices)).optimizer


def walk(times=2, **choices):
    """The weights after some steps with the constant gradient G."""
    chosen = optimizer(**choices)
    transformation = chosen.build()
    weights = W
    state = chosen.filled(transformation.init(weights))
    for _ in range(times):
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ("sgd", "adam", "adamw", "optax:lion"))
def test_of_matrices_alone_decay_no_biases_norms_or_scalars(name):
    trial = Trial(depth=6, width=8, connection="rezero(alpha=1)", optimizer=name, weight_decay=0.5, decay="matrices")
    planned = plan(trial)
    weights = jax.tree.map(lambda leaf: leaf + 1, start(planned, trial).params)
    tx = planned.optimizer.build()
    state = planned.optimizer.filled(tx.init(weights))
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, weights), state, weights)
    moved = {jax.tree_util.keystr(path) for path, leaf in jax.tree_util.tree_leaves_with_path(updates) if leaf.any()}
    every = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(weights)}
    assert moved == {path for path in every if path.endswith("['kernel']")} and len(moved) == 4


def test_what_takes_no_mask_is_refused():
    with pytest.raises(UserError, match=r"test_optimizers:branching.*mask"):
        optimizer(optimizer="test_optimizers:branching", decay="matrices")


def test_the_average_is_optaxs_moving_average():
    tx = optax.chain(optax.sgd(0.1), average(0.9))
    usual = optax.ema(0.9, debias=True)
    weights = W
    state, expected = tx.init(weights), usual.init(weights)
    for step in range(4):
        updates, state = tx.update(G * step, state, weights)
        weights = optax.apply_updates(weights, updates)
        found, expected = usual.update(weights, expected)
        close(averaged(state), found, 1e-6)
    assert averaged(optax.sgd(0.1).init(W)) is None


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


@pytest.mark.parametrize("decay", (0.5, 0.999999))
def test_the_average_of_one_step_is_where_it_led(decay):
    tx = average(decay)
    _, state = tx.update(G, tx.init(W), W)
    close(averaged(state), W + G, 1e-6)


@given(st.just(0.0) | st.floats(0.01, 2), st.lists(st.floats(-(2.0**66), 2.0**66, width=32), min_size=1, max_size=4))
def test_clipping_is_optaxs_and_none_for_zero(norm, gradient):
    gradient = jnp.array(gradient, jnp.float32)
    found, _ = clip(jnp.float32(norm)).update(gradient, optax.EmptyState())
    expected, _ = optax.clip_by_global_norm(norm).update(gradient, optax.EmptyState())
    np.testing.assert_array_equal(found, expected if norm else gradient)


@pytest.mark.parametrize("schedule", ("constant", "cosine", "linear(end=0.01)", "step"))
@pytest.mark.parametrize("name", ("sgd", "adam", "adamw"))
def test_rates_decays_and_clips_share_one_transformation_and_each_gets_its_own(name, schedule):
    options = {"optimizer": name, "schedule": schedule, "warmup_steps": 1, "steps": 9}
    for rate, decay, norm in ((0.1, 0.0, 0.0), (0.3, 0.1, 0.2)):
        chosen = {"learning_rate": rate, "weight_decay": decay, "clip_norm": norm}
        assert optimizer(**options, **chosen).build() is optimizer(**options).build()
        update = {"sgd": sgd, "adam": adam, "adamw": adamw}[name](optimizer(**options, **chosen).rate(), decay)
        alone = optax.chain(optax.clip_by_global_norm(norm or 1e9), update)  # with numbers, not with traced ones
        weights = W
        state = alone.init(weights)
        for _ in range(4):
            updates, state = alone.update(G, state, weights)
            weights = optax.apply_updates(weights, updates)
        close(walk(4, **options, **chosen), weights, 1e-7)


def test_a_constant_rate_knows_nothing_of_the_steps():
    assert optimizer(steps=10).build() is optimizer(steps=20).build()
    assert optimizer(steps=10, schedule="cosine").build() is not optimizer(steps=20, schedule="cosine").build()


def branching(learning_rate, weight_decay):
    """An optimiser that looks at its decay."""
    return adamw(learning_rate, weight_decay) if weight_decay else adam(learning_rate)


def test_an_optimiser_that_branches_on_what_is_traced_is_refused():
    with pytest.raises(UserError, match="must not branch on rate or decay"):
        optimizer(optimizer="test_optimizers:branching")
