"""What goes through all blocks and is computed back: linear ones in closed form, and blocks without an inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import double

from resjax import models, nn
from resjax.probes import determinants, recovery

KEY = jax.random.key(0)


def made(**choices):
    """What is recovered of three inputs, and the branches' matrices, for linear branches of one layer: L D D."""
    linear = {"norm": nn.NoNorm(), "activation": jax.nn.identity, "branch": nn.Dense(layers=1)}
    network = models.dense(6, classes=3, **{"width": 5} | linear | choices)
    images = jax.random.normal(KEY, (3, 2, 2, 1), jnp.float64)
    params, state = double(jax.jit(network.init)(jax.random.key(1), images))
    kernels = np.asarray(params["stages"][0][0]["branch"]["Dense_0"]["kernel"])
    return recovery.recover(network, params, state, images, KEY), kernels


def test_constants_and_streams_of_linear_blocks():
    scale = 0.1
    found, kernels = made(connection=nn.Scaled(beta=scale))
    norms = scale * np.linalg.norm(kernels, 2, axis=(1, 2))
    np.testing.assert_allclose(found.lower, norms, rtol=1e-6)
    np.testing.assert_allclose(found.upper, norms, rtol=2e-3)
    matrix = np.linalg.multi_dot([np.eye(5) + scale * kernel for kernel in kernels])
    np.testing.assert_allclose(found.behind, found.before @ matrix, rtol=1e-9)
    values = recovery.measures(found)
    assert values["lipschitz_lower"] == pytest.approx(norms.max(), rel=1e-6)
    assert values["invertible_share"] == 1 and values["newton_share"] == values["not_inverted_share"] == 0
    lengths = [np.linalg.norm(x) for x in found.before]
    errors = [np.linalg.norm(back - x) for back, x in zip(found.inverse.x, found.before, strict=True)]
    assert values["inverse_error"] == pytest.approx(max(np.divide(errors, lengths)), rel=1e-6)
    assert values["inverse_error"] <= values["inverse_bound"] + 1e-14 and values["inverse_bound"] < 1e-8


def test_linear_blocks_that_stretch_take_the_second_attempt():
    found, kernels = made(connection=nn.Scaled(beta=3.0), width=4)
    values = recovery.measures(found)
    assert values["lipschitz_lower"] > 1 and values["newton_share"] > 0 and np.isnan(values["inverse_bound"])
    assert values["invertible_share"] == np.mean(found.upper < 1)
    assert values["not_inverted_share"] == 0 and values["inverse_error"] < 1e-6
    matrix = np.linalg.multi_dot([np.eye(4) + 3 * kernel for kernel in kernels])
    np.testing.assert_allclose(found.inverse.x, found.behind @ np.linalg.inv(matrix), rtol=1e-6, atol=1e-9)


def test_blocks_without_a_skip_are_not_called_inverted():
    values = recovery.measures(made(connection=nn.Plain(), activation=jax.nn.relu, width=8)[0])
    assert values["newton_share"] > 0 and values["not_inverted_share"] > 0 and values["inverse_error"] > 1e-6


def test_the_log_determinant_is_between_its_bounds_and_reaches_them():
    draw = np.random.default_rng(0)
    constants = np.array([0.3, 0.8])
    matrices = [draw.normal(size=(6, 6)) for _ in constants]
    maps = [np.eye(6) + c * matrix / np.linalg.norm(matrix, 2) for c, matrix in zip(constants, matrices, strict=True)]
    lower, upper = determinants.bounds(constants, 6)
    assert lower < np.linalg.slogdet(maps[0] @ maps[1])[1] < upper
    assert lower == pytest.approx(np.linalg.slogdet(np.diag(np.full(6, (1 - 0.3) * (1 - 0.8))))[1])
    assert upper == pytest.approx(np.linalg.slogdet(np.diag(np.full(6, (1 + 0.3) * (1 + 0.8))))[1])
    assert determinants.bounds(np.array([0.5, 1.0]), 6)[0] == -np.inf
