"""Singular values and determinants of Jacobians against numpy.linalg, in float64; linear networks have closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double

from resjax import models, nn, theory
from resjax.nn import initializers
from resjax.probes import blocks, determinants, jacobian, singular_values

KEY = jax.random.key(0)
RESIDUAL = nn.Residual()


def linear(connection=RESIDUAL, depth=8, width=24, **choices):
    """A linear network's blocks as a function of one stream, and the matrix they are, written out."""
    choices = {"norm": nn.NoNorm(), "activation": jax.nn.identity, "branch": nn.Dense(layers=1)} | choices
    network = models.dense(depth, width=width, connection=connection, classes=3, **choices)
    params, state = double(jax.jit(network.init)(KEY, jnp.zeros((1, 2, 2, 1))))
    kernels = np.asarray(params["stages"][0][0]["branch"]["Dense_0"]["kernel"])  # L D D
    skip = np.eye(width) * (connection != nn.Plain())
    written = functools.reduce(
        lambda done, kernel: (skip + scale(connection, len(kernels)) * kernel.T) @ done, kernels, np.eye(width)
    )
    run = jax.jit(lambda x: blocks.run(network, params, state, x[None])[0][0])
    return run, written


def scale(connection, length):
    return length**-0.5 if isinstance(connection, nn.Scaled) else 1.0


@pytest.mark.parametrize("connection", (nn.Plain(), nn.Residual(), nn.Scaled(power=0.5)))
def test_singular_values_of_a_linear_network_are_those_of_its_matrix(connection):
    run, written = linear(connection)
    x = jnp.ones(24)
    expected = np.linalg.svd(written, compute_uv=False)
    close(singular_values.matrix(run, x), written, 1e-9)
    close(singular_values.singular_values(run, x), expected, 1e-9)
    values, weights = singular_values.spectrum(run, x, KEY, steps=24, samples=2)
    close(values, np.stack([expected, expected]), 1e-8)
    close(weights.sum(1), np.ones(2), 1e-12)
    close(determinants.log_determinant(run, x), np.linalg.slogdet(written)[1], 1e-8)


def test_the_ends_of_a_spectrum_come_first_and_its_shape_from_the_weights():
    draw = np.random.default_rng(0)
    left, right = (np.linalg.qr(draw.normal(size=(400, 400)))[0] for _ in range(2))
    values = np.concatenate([[9.0, 8.0], np.linspace(2, 3, 396), [0.2, 0.1]])
    matrix = jnp.asarray(left * values @ right)
    spectrum = jax.jit(lambda x: singular_values.spectrum(lambda x: matrix @ x, x, KEY, steps=30, samples=20))
    found, weights = spectrum(jnp.zeros(400))
    close(found[:, 0], np.full(20, 9.0), 1e-8)
    close(found[:, -1], np.full(20, 0.1), 1e-2)
    share = (weights * (found > 2.5)).sum(1)  # of the values above 2.5: 198 + 2 of 400
    assert abs(share.mean() - 0.5) < 4 * share.std() / 20**0.5 + 0.02


def test_a_map_with_one_singular_value_exhausts_its_krylov_space():
    values, weights = singular_values.spectrum(lambda x: 2 * x, jnp.zeros(9), KEY, steps=4)
    there = np.isfinite(values[0])
    close(values[0, there], np.full(there.sum(), 2.0))
    close(weights[0].sum(), 1.0)
    assert (weights[0, ~there] == 0).all()


def test_a_map_of_low_rank_exhausts_its_krylov_space():
    draw = np.random.default_rng(0)
    matrix = jnp.asarray(draw.normal(size=(16, 5)) @ draw.normal(size=(5, 16)))
    expected = np.linalg.svd(matrix, compute_uv=False)
    values, weights = singular_values.spectrum(lambda x: matrix @ x, jnp.zeros(16), KEY, steps=16, samples=4)
    close(values[:, :5], np.tile(expected[:5], (4, 1)), 1e-8)
    assert (np.nan_to_num(values[:, 5:]) < 1e-8).all()
    close(weights.sum(1), np.ones(4))
    zero, _ = singular_values.spectrum(jnp.zeros_like, jnp.zeros(4), KEY, steps=3)
    assert (np.nan_to_num(zero) == 0).all() and singular_values.norm(jnp.zeros_like, jnp.zeros(4), KEY) == 0


def test_columns_come_in_parts(monkeypatch):
    run, written = linear()
    monkeypatch.setattr(singular_values, "COLUMNS", 5)
    close(singular_values.matrix(run, jnp.ones(24)), written, 1e-9)


@pytest.mark.parametrize("exact", (2048, 5))
def test_the_table_has_each_blocks_own_jacobian(monkeypatch, exact):
    monkeypatch.setattr(singular_values, "EXACT", exact)
    network = models.dense(8, width=6, classes=3, norm=nn.NoNorm(), activation=jax.nn.identity)
    x = jax.random.normal(KEY, (2, 3, 3, 1), jnp.float64)
    params, state = double(jax.jit(network.init)(KEY, x))
    jax.clear_caches()
    table = jacobian(network, params, state, x)
    branch = params["stages"][0][0]["branch"]
    first, second = (np.asarray(branch[f"Dense_{layer}"]["kernel"]) for layer in range(2))  # L D D
    written = np.eye(6) + first @ second
    sigma = np.linalg.svd(written, compute_uv=False)
    expected = {"sigma_max": sigma[:, 0], "sigma_min": sigma[:, -1], "condition": sigma[:, 0] / sigma[:, -1]}
    assert list(table.columns) == ["block", *expected, "log_determinant"]
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-6)
    determinant = np.linalg.slogdet(written)[1] if exact > 6 else np.full(3, np.nan)
    np.testing.assert_allclose(table["log_determinant"], determinant, rtol=1e-9)


def test_the_power_series_of_the_log_determinant_and_its_two_errors():
    constant, size = 0.7, 30
    matrix = np.random.default_rng(0).normal(size=(size, size))
    matrix = jnp.asarray(constant * matrix / np.linalg.norm(matrix, 2))
    exact = np.linalg.slogdet(np.eye(size) + matrix)[1]
    mean, error = determinants.log_determinant_series(lambda x: matrix @ x, jnp.zeros(size), KEY, terms=12, samples=500)
    truncated = sum((-1) ** (k + 1) * np.trace(np.linalg.matrix_power(matrix, k)) / k for k in range(1, 13))
    assert abs(mean - truncated) < 4 * error
    for terms in (1, 3, 12):
        left_out = exact - sum(
            (-1) ** (k + 1) * np.trace(np.linalg.matrix_power(matrix, k)) / k for k in range(1, terms + 1)
        )
        assert abs(left_out) <= determinants.truncation_error(constant, size, terms)
    close(determinants.truncation_error(0.5, 2, 1), -2 * (np.log(0.5) + 0.5), 1e-12)


def test_the_series_needs_a_constant_below_one():
    with pytest.raises(ValueError, match="Lipschitz constant 1: the series needs one below 1"):
        determinants.truncation_error(1.0, 10, 5)


@pytest.mark.parametrize(("total", "expected"), ((0.25, 4.23), (0.5, 8.01), (1.0, 21.1)))
def test_the_condition_number_of_a_wide_chain_in_closed_form(total, expected):
    assert abs(theory.condition(total / 50, "none", 50, 1) / expected - 1) < 2e-3  # to the digits it is quoted with


@pytest.mark.slow
def test_a_wide_linear_chain_has_that_condition_number():
    found = []
    for depth in (42, 202):
        run, _ = linear(nn.Scaled(power=0.5), depth=depth, width=300, initializer=initializers.lecun_normal())
        values = singular_values.singular_values(run, jnp.ones(300))
        found.append(float(values[0] / values[-1]))
    assert all(abs(np.log(kappa) / np.log(theory.condition(1 / 40, "none", 40, 1)) - 1) < 0.06 for kappa in found), (
        found
    )
