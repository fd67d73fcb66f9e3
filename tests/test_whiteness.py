"""Gradients as series over inputs and between inputs, against Jacobians and the paper's definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import double

from resjax import models, nn
from resjax.nn.initializers import LooksLinear
from resjax.probes import whiteness


def made(x, classes=1, bare=False, **choices):
    usual = {"width": 8, "depth": 5, "branch": nn.Dense(layers=1), "norm": nn.BatchNorm(momentum=0.0)}
    network = models.dense(**usual | choices, classes=classes)
    network = whiteness.without_ends(network) if bare else network
    params, state = jax.jit(network.init)(jax.random.key(1), x)
    return network, double(params), double(state)


def test_slopes_over_the_grid_are_the_diagonal_of_the_jacobian():
    grid = jnp.linspace(-2, 2, 9, dtype=jnp.float64)
    network, params, state = made(whiteness.scalars(grid))
    state = whiteness.settled(network, params, state, whiteness.scalars(grid))
    f = lambda x: network.apply(params, state, whiteness.scalars(x))[0][:, 0]  # noqa: E731
    jacobian = np.asarray(jax.jacfwd(f)(grid))
    assert np.count_nonzero(jacobian - np.diag(np.diag(jacobian))) == 0  # f(x_i) depends on x_i alone
    np.testing.assert_allclose(whiteness.scalar_slopes(network, params, state, grid), np.diag(jacobian), rtol=1e-12)


def test_settled_statistics_are_those_of_the_batch():
    x = jax.random.normal(jax.random.key(0), (16, 8), jnp.float64)
    network, params, state = made(x, bare=True)
    settled = whiteness.settled(network, params, state, x)
    trained = network.apply(params, state, x, train=True)[0]
    np.testing.assert_allclose(network.apply(params, settled, x)[0], trained, rtol=1e-9, atol=1e-12)


def test_moments_are_means_over_inputs_and_over_pairs():
    x = jax.random.normal(jax.random.key(0), (6, 8), jnp.float64)
    network, params, state = made(x, bare=True, norm=nn.NoNorm())
    direction = jax.random.normal(jax.random.key(2), (8,), jnp.float64)
    found = whiteness.moments(network, params, state, x, direction)
    slopes = [jax.grad(lambda x: network.apply(params, state, x[None])[0][0] @ direction)(x) for x in x]
    pairs = [slopes[b] @ slopes[c] for b in range(6) for c in range(6) if b != c]
    assert found["gradient_variance"] == pytest.approx(np.mean([g @ g for g in slopes]), rel=1e-12)
    assert found["gradient_covariance"] == pytest.approx(np.mean(pairs), rel=1e-12)


def test_autocorrelation_is_its_definition():
    series = np.asarray(jax.random.normal(jax.random.key(0), (50,), jnp.float64))
    centred = series - series.mean()
    expected = [centred[: 50 - lag] @ centred[lag:] / (centred @ centred) for lag in range(50)]
    np.testing.assert_allclose(whiteness.autocorrelation(series, 49), expected, atol=1e-12)
    with pytest.raises(ValueError, match=r"lag 50: .* the largest lag is 49"):
        whiteness.autocorrelation(series, 50)


def test_noise_has_the_autocorrelation_of_short_samples():
    white, brown = (whiteness.noise_autocorrelation(b, np.random.default_rng(0), 2000, 20, 19) for b in (False, True))
    lags = np.arange(1, 20)
    expected = -(20 - lags) / (20 * 19)  # Moran 1948
    np.testing.assert_allclose(white[1:], expected, atol=4 * (20 * 2000) ** -0.5)
    for found in (white, brown):  # a centred series sums to zero
        assert found[0] == 1 and found[1:].sum() == pytest.approx(-0.5, abs=1e-5)
    assert brown[1] > 0.5 > abs(white[1])


def test_a_network_that_looks_linear_is_linear_and_orthogonal():
    x = jax.random.normal(jax.random.key(0), (8,), jnp.float64)
    choices = {
        "initializer": LooksLinear(),
        "activation": nn.crelu,
        "connection": nn.Plain(),
        "norm": nn.NoNorm(),
    }
    network, params, state = made(x[None], bare=True, depth=202, **choices)
    jacobian = jax.jacrev(lambda x: network.apply(params, state, x[None])[0][0])
    here, there = jacobian(x), jacobian(-3 * x + 1)
    np.testing.assert_allclose(here, there, atol=1e-4)  # weights are drawn, and orthogonal, in float32
    np.testing.assert_allclose(here @ here.T, np.eye(8), atol=1e-4)
