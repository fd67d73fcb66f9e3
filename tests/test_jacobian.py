"""Singular values and determinants of Jacobians against numpy.linalg, in float64; linear networks have closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double

from resjax import architectures, theory
from resjax.config import Untrained
from resjax.errors import UserError
from resjax.probes import blocks, jacobian

KEY = jax.random.key(0)


def linear(connection="residual", depth=8, width=24, **choices):
    """A linear network's blocks as a function of one stream, and the matrix they are, written out."""
    choices = {"norm": "none", "activation": "identity", "branch": "dense(layers=1)"} | choices
    network = architectures.build(Untrained(connection=connection, depth=depth, width=width, **choices), 3)
    params, state = double(jax.jit(network.init)(KEY, jnp.zeros((1, 2, 2, 1))))
    kernels = np.asarray(params["stages"][0]["branch"]["Dense_0"]["kernel"])  # L D D
    skip = np.eye(width) * (connection != "plain")
    written = functools.reduce(
        lambda done, kernel: (skip + scale(connection, len(kernels)) * kernel.T) @ done, kernels, np.eye(width)
    )
    run = jax.jit(lambda x: blocks.each(network, params, state, x[None], lambda *block: ())[0][0])
    return run, written


def scale(connection, length):
    return length**-0.5 if connection.startswith("scaled") else 1.0


@pytest.mark.parametrize("connection", ("plain", "residual", "scaled(power=0.5)"))
def test_singular_values_of_a_linear_network_are_those_of_its_matrix(connection):
    run, written = linear(connection)
    x = jnp.ones(24)
    expected = np.linalg.svd(written, compute_uv=False)
    close(jacobian.matrix(run, x), written, 1e-9)
    close(jacobian.singular_values(run, x), expected, 1e-9)
    values, weights = jacobian.spectrum(run, x, KEY, steps=24, samples=2)
    close(values, np.stack([expected, expected]), 1e-8)
    close(weights.sum(1), np.ones(2), 1e-12)
    close(jacobian.log_determinant(run, x), np.linalg.slogdet(written)[1], 1e-8)


def test_the_ends_of_a_spectrum_come_first_and_its_shape_from_the_weights():
    draw = np.random.default_rng(0)
    left, right = (np.linalg.qr(draw.normal(size=(400, 400)))[0] for _ in range(2))
    values = np.concatenate([[9.0, 8.0], np.linspace(2, 3, 396), [0.2, 0.1]])
    matrix = jnp.asarray(left * values @ right)
    spectrum = jax.jit(lambda x: jacobian.spectrum(lambda x: matrix @ x, x, KEY, steps=30, samples=20))
    found, weights = spectrum(jnp.zeros(400))
    close(found[:, 0], np.full(20, 9.0), 1e-8)
    close(found[:, -1], np.full(20, 0.1), 1e-2)
    share = (weights * (found > 2.5)).sum(1)  # of the values above 2.5: 198 + 2 of 400
    assert abs(share.mean() - 0.5) < 4 * share.std() / 20**0.5 + 0.02


def test_a_map_with_one_singular_value_exhausts_its_krylov_space():
    values, weights = jacobian.spectrum(lambda x: 2 * x, jnp.zeros(9), KEY, steps=4)
    there = np.isfinite(values[0])
    close(values[0, there], np.full(there.sum(), 2.0))
    close(weights[0].sum(), 1.0)
    assert (weights[0, ~there] == 0).all()


def test_a_map_of_low_rank_exhausts_its_krylov_space():
    draw = np.random.default_rng(0)
    matrix = jnp.asarray(draw.normal(size=(16, 5)) @ draw.normal(size=(5, 16)))
    expected = np.linalg.svd(matrix, compute_uv=False)
    values, weights = jacobian.spectrum(lambda x: matrix @ x, jnp.zeros(16), KEY, steps=16, samples=4)
    close(values[:, :5], np.tile(expected[:5], (4, 1)), 1e-8)
    assert (np.nan_to_num(values[:, 5:]) < 1e-8).all()
    close(weights.sum(1), np.ones(4))
    zero, _ = jacobian.spectrum(jnp.zeros_like, jnp.zeros(4), KEY, steps=3)
    assert (np.nan_to_num(zero) == 0).all() and jacobian.norm(jnp.zeros_like, jnp.zeros(4), KEY) == 0


def test_columns_come_in_parts(monkeypatch):
    run, written = linear()
    monkeypatch.setattr(jacobian, "COLUMNS", 5)
    close(jacobian.matrix(run, jnp.ones(24)), written, 1e-9)


def test_the_power_series_of_the_log_determinant_and_its_two_errors():
    constant, size = 0.7, 30
    matrix = np.random.default_rng(0).normal(size=(size, size))
    matrix = jnp.asarray(constant * matrix / np.linalg.norm(matrix, 2))
    exact = np.linalg.slogdet(np.eye(size) + matrix)[1]
    mean, error = jacobian.log_determinant_series(lambda x: matrix @ x, jnp.zeros(size), KEY, terms=12, samples=500)
    truncated = sum((-1) ** (k + 1) * np.trace(np.linalg.matrix_power(matrix, k)) / k for k in range(1, 13))
    assert abs(mean - truncated) < 4 * error
    for terms in (1, 3, 12):
        left_out = exact - sum(
            (-1) ** (k + 1) * np.trace(np.linalg.matrix_power(matrix, k)) / k for k in range(1, terms + 1)
        )
        assert abs(left_out) <= jacobian.truncation_error(constant, size, terms)
    close(jacobian.truncation_error(0.5, 2, 1), -2 * (np.log(0.5) + 0.5), 1e-12)


def test_the_series_needs_a_constant_below_one():
    with pytest.raises(UserError, match="Lipschitz constant 1: the series needs one below 1"):
        jacobian.truncation_error(1.0, 10, 5)


@pytest.mark.parametrize(("total", "expected"), ((0.25, 4.23), (0.5, 8.01), (1.0, 21.1)))
def test_the_condition_number_of_a_wide_chain_in_closed_form(total, expected):
    assert abs(theory.condition(total / 50, "none", 50, 1) / expected - 1) < 2e-3  # to the digits it is quoted with


@pytest.mark.slow
def test_a_wide_linear_chain_has_that_condition_number():
    found = []
    for depth in (42, 202):
        run, _ = linear("scaled(power=0.5)", depth=depth, width=300, initializer="lecun_normal")
        values = jacobian.singular_values(run, jnp.ones(300))
        found.append(float(values[0] / values[-1]))
    assert all(abs(np.log(kappa) / np.log(theory.condition(1 / 40, "none", 40, 1)) - 1) < 0.06 for kappa in found), (
        found
    )
