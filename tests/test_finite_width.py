"""What theory says of networks of finite width: random walks of squares, and condition numbers of many blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from resjax import models, nn, theory
from resjax.layers import Layers
from resjax.probes import forward, whiteness


@pytest.mark.parametrize("width", (8, 32))
def test_logarithms_of_squares_of_plain_relu_layers_walk_at_random(width):
    """Forward and backward through 1000 networks of 20 layers in NumPy: all means and variances to within 4 σ."""
    random = np.random.default_rng(0)
    count, layers = 1000, 20
    weights = random.standard_normal((layers, count, width, width)) * np.sqrt(2 / width)
    x = random.standard_normal((count, width))
    u = random.standard_normal((count, width))
    before = [np.log((tree**2).sum(-1)) for tree in (x, u)]
    units = []
    for layer in weights:
        units.append(x > 0)
        x = np.einsum("cij,cj->ci", layer, np.maximum(x, 0))
    for layer, on in zip(weights[::-1], units[::-1], strict=True):
        u = on * np.einsum("cij,ci->cj", layer, u)
    alive = (x != 0).any(-1)
    mean, variance = theory.random_walk(width)
    for tree, start in zip((x, u), before, strict=True):
        walk = np.log((tree[alive] ** 2).sum(-1)) - start[alive]
        assert walk.mean() == pytest.approx(layers * mean, abs=4 * np.sqrt(layers * variance / count))
        kurtosis = stats.kurtosis(walk, fisher=False)
        assert walk.var() == pytest.approx(layers * variance, rel=4 * np.sqrt((kurtosis - 1) / count))
        below = np.mean(walk < theory.random_walk_quantiles(width, np.array([layers]), np.array([0.25])))
        assert below == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / count) + 0.02)  # the walk is a bit skew


def test_a_walk_has_the_papers_drift_and_variance():
    for width in (200, 2000):
        mean, variance = theory.random_walk(width)
        assert mean == pytest.approx(-5 / (2 * width), rel=3 / width)
        assert variance == pytest.approx(5 / width, rel=6 / width)
    assert theory.random_walk(1) == pytest.approx((-np.euler_gamma, np.pi**2 / 2))  # K = 1: ln 2χ²₁
    with pytest.raises(ValueError, match="width 0: must be at least 1"):
        theory.random_walk(0)


@pytest.mark.slow
@pytest.mark.parametrize("layers", (1, 2))
def test_the_simulated_condition_number_is_that_of_networks(layers):
    """16 blocks, width 96: the mean of ln κ over 12 chains and that over 12 networks, to within 4 σ."""
    length, width, count = 16, 96, 12
    branch = nn.Dense(layers=layers)
    built = models.dense(
        2 + length * layers, width=width, connection=nn.Scaled(power=0.5), norm=nn.NoNorm(), branch=branch
    )
    network = whiteness.without_ends(built)

    def one(key):
        x = jax.random.normal(key, (1, width), jnp.float64)
        params, state = forward.started(network, key, x)
        jacobian = jax.jacobian(lambda x: network.run_stages(params["stages"], state["stages"], x, Layers())[0])(x)
        sigma = jnp.linalg.svd(jacobian.reshape(width, width), compute_uv=False)
        return jnp.log(sigma[0] / sigma[-1])

    measured = np.asarray(jax.lax.map(jax.jit(one), jax.random.split(jax.random.key(0), count)))
    simulated = np.log(theory.relu_condition((1 / length,) * length, layers, width, count))
    error = np.sqrt(2 * measured.var(ddof=1) / count)
    assert simulated == pytest.approx(measured.mean(), abs=4 * error)


def test_without_a_branch_nothing_is_stretched_and_one_layer_does_what_its_units_say():
    assert theory.relu_condition((0.0, 0.0), 2, 8, 2) == pytest.approx(1)
    random = np.random.default_rng(0)
    on = np.diag(random.standard_normal(6) > 0)
    weights = random.standard_normal((6, 6)) / np.sqrt(3)
    expected = np.linalg.cond(np.eye(6) + 0.5 * weights @ on)
    assert theory.relu_condition((0.25,), 1, 6, 1) == pytest.approx(expected)
