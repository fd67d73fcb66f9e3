"""The lines in the figures against the networks they are about, and against numerical integrals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from resjax import models, nn, theory
from resjax.nn import initializers
from resjax.probes import backward, forward, whiteness

WIDTH = 400
NORMS = {
    "none": nn.NoNorm(),
    "batch": nn.BatchNorm(),
    "layer": nn.LayerNorm(),
    "center": nn.Center(momentum=0.0),
    "settled": nn.BatchNorm(momentum=0.0),
}


@pytest.mark.parametrize("c", (-0.9, 0.0, 0.4, 0.99))
def test_arc_cosine_kernels_are_integrals_over_a_normal_plane(c):
    def over_half_plane(f):
        """E over (u, v) at cosine c, both positive; u, v = r cos(θ), r cos(θ − arccos c)."""
        angle = np.arccos(c)
        return integrate.quad(lambda t: f(np.cos(t), np.cos(t - angle)), angle - np.pi / 2, np.pi / 2)[0] / (2 * np.pi)

    assert theory.kappa0(c) == pytest.approx(2 * over_half_plane(lambda u, v: 1), rel=1e-9)
    assert theory.kappa1(c) == pytest.approx(2 * over_half_plane(lambda u, v: 2 * u * v), rel=1e-9)  # E r² = 2


PEAK = -0.5, -0.1, 0.0, 0.1, 0.5  # of the slope, which is narrow for large weights


@pytest.mark.parametrize(("weights", "bias"), ((0.5, 0.0), (1.0, 0.0), (1.7, 0.0), (4.0, 0.3), (100.0, 0.0)))
def test_mean_field_of_tanh_layers(weights, bias):
    q, chi = theory.mean_field(weights, bias)
    mean = lambda f: integrate.quad(lambda z: f(np.sqrt(q) * z) * stats.norm.pdf(z), -12, 12, points=PEAK)[0]  # noqa: E731
    assert weights * mean(lambda u: np.tanh(u) ** 2) + bias == pytest.approx(q, abs=1e-9)
    assert chi == pytest.approx(weights * mean(lambda u: (1 - np.tanh(u) ** 2) ** 2), rel=1e-6)


def test_the_edge_of_chaos():
    assert theory.mean_field(1.0)[1] == pytest.approx(1) and theory.depth_scale(1.0) == np.inf
    assert theory.depth_scale(0.5) == pytest.approx(1 / np.log(2)) == theory.depth_scale(2.0)
    with pytest.raises(ValueError, match="must not be negative"):
        theory.mean_field(-1.0)


@pytest.mark.slow
@pytest.mark.parametrize("variance", (0.8, 1.5, 3.0))
def test_gradients_of_tanh_networks_grow_by_chi_a_layer(variance):
    """One network of width 400, 40 layers: ln χ1 to within three times its scatter, √(5/400/40)."""
    network = models.dense(
        62, width=WIDTH, classes=3, connection=nn.Plain(), norm=nn.NoNorm(), activation=jnp.tanh,
        branch=nn.Dense(layers=1), initializer=initializers.variance_scaling(scale=variance),
    )  # fmt: skip
    x = forward.pairs(jax.random.key(0), 8, (1, 1, WIDTH), 0.0, jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(1), x)
    squares = jax.jit(lambda: backward.read(network, params, state, x, backward.readout(jax.random.key(2))))()
    rate = np.log(squares["gradient_mean_square"][10] / squares["gradient_mean_square"][50]) / 40
    assert rate == pytest.approx(np.log(theory.mean_field(variance)[1]), abs=0.053)


def test_normalized_residual_gradients_have_the_papers_closed_form_and_growth():
    variance, covariance = theory.normalized_residual(0.1, 4000)
    np.testing.assert_allclose(variance, 1 + 0.1**2 * np.arange(4001), rtol=1e-12)
    assert covariance[4000] / covariance[1000] == pytest.approx(2, rel=0.05)  # √L
    assert (covariance / variance)[4000] * (0.1 * 4000**0.5) == pytest.approx(1, rel=0.2)


def test_a_residual_block_halves_what_the_layer_does_to_the_cosine():
    c = theory.cosines(0.2, 3, 1, 1, layers=2)
    assert c[1] == pytest.approx((0.2 + theory.kappa1(theory.kappa1(0.2))) / 2)
    assert theory.gradient_correlation(0.0, 1)[1] == 0.5 and theory.gradient_correlation(0.0, 1, skip=True)[1] == 0.75


@functools.cache
def measured(connection, norm, depth, cosine=0.0, layers=2):
    """Probes of wide networks in float64, the mean over 8: the squares of one scatter by some 5·depth/width."""
    branch = nn.Dense(layers=layers)
    built = models.dense(depth, width=WIDTH, classes=1, connection=connection, norm=NORMS[norm], branch=branch)
    network = whiteness.without_ends(built)
    loss = backward.readout(jax.random.key(2))

    def one(key):
        x = forward.pairs(key, 64, (WIDTH,), cosine, jnp.float64)
        params, state = network.init(key, x)
        found = backward.read(network, params, state, x, loss)
        return {
            name: found[name]
            for name in ("activation_mean_square", "gradient_mean_square", "direct_share", "input_cosine")
        }

    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 8))
    return {name: np.asarray(values).mean(0) for name, values in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("connection", "norm"), (
    (nn.Plain(), "batch"), (nn.Residual(), "batch"), (nn.Residual(), "layer"), (nn.Scaled(alpha=0.9, beta=0.5), "none"),
))  # fmt: skip
def test_squares_grow_as_the_theory_says(connection, norm):
    found = measured(connection, norm, 18)  # L = 8
    factors = theory.paths(connection, 8)
    squares, backward = theory.growth(*factors, norm, 8, layers=2)
    np.testing.assert_allclose(found["activation_mean_square"], squares, rtol=0.15)
    np.testing.assert_allclose(found["gradient_mean_square"] / found["gradient_mean_square"][-1], backward, rtol=0.25)


@pytest.mark.slow
def test_skips_without_a_norm_double_the_squares_of_activations_and_gradients():
    found = measured(nn.Residual(), "none", 18)  # L = 8
    np.testing.assert_allclose(found["activation_mean_square"], 2.0 ** np.arange(8), rtol=0.15)
    np.testing.assert_allclose(
        found["gradient_mean_square"] / found["gradient_mean_square"][-1], 2.0 ** np.arange(7, -1, -1), rtol=0.15
    )
    np.testing.assert_allclose(found["direct_share"], 0.5, atol=0.05)


@pytest.mark.slow
def test_with_a_norm_they_grow_by_one_a_block():
    found = measured(nn.Residual(), "layer", 18)
    np.testing.assert_allclose(found["activation_mean_square"], 1 + np.arange(8), rtol=0.1)
    share = found["direct_share"]
    np.testing.assert_allclose(share, np.arange(1, 9) / np.arange(2, 10), atol=0.05)  # 1/(1 + 1/(1 + l))


@pytest.mark.slow
def test_branches_over_the_root_of_the_depth_keep_the_squares_below_e():
    found = measured(nn.Scaled(power=0.5), "none", 18)
    np.testing.assert_allclose(found["activation_mean_square"], (1 + 1 / 8) ** np.arange(8), rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("connection", "skip"), ((nn.Plain(), False), (nn.Residual(), True)))
def test_cosines_follow_the_kernels(connection, skip):
    found = measured(connection, "none", 18, cosine=0.3)
    np.testing.assert_allclose(found["input_cosine"], theory.cosines(0.3, 8, float(skip), 1, layers=2)[:-1], atol=0.04)


@pytest.mark.slow
@pytest.mark.parametrize(("connection", "norm", "expected"), (
    (nn.Plain(), "none", theory.gradient_correlation(0.0, 6)),
    (nn.Plain(), "center", 0.5 ** np.arange(7)),
    (nn.Residual(), "none", theory.gradient_correlation(0.0, 6, skip=True)),
    (nn.Residual(), "center", 0.75 ** np.arange(7)),
    (nn.Scaled(beta=0.5), "settled", np.divide(*theory.normalized_residual(0.5, 6, 1 - 1 / np.pi)[::-1])),
))  # fmt: skip
def test_correlations_of_gradients_follow_the_papers_laws(connection, norm, expected):
    """Means over 6 networks of width 400 and 256 inputs; the tolerance is three times their spread."""
    found = []
    x = jax.random.normal(jax.random.key(0), (256, WIDTH), jnp.float64)
    direction = jax.random.normal(jax.random.key(3), (WIDTH,), jnp.float64)
    for length in (1, 3, 6):
        style = {"connection": connection, "norm": NORMS[norm], "branch": nn.Dense(layers=1)}
        network = whiteness.without_ends(models.dense(2 + length, width=WIDTH, classes=1, **style))

        @jax.jit
        def one(key, network=network):
            params, state = network.init(key, x)
            return whiteness.moments(network, params, whiteness.settled(network, params, state, x), x, direction)

        moments = [one(key) for key in jax.random.split(jax.random.key(1), 6)]
        variance, covariance = (
            np.array([m[name] for m in moments]) for name in ("gradient_variance", "gradient_covariance")
        )
        found.append(covariance.mean() / variance.mean())
    np.testing.assert_allclose(found, expected[[1, 3, 6]], atol=0.03)


class Shallow(nn.Residual):
    """y = x + F(x)/√l in block l."""

    def write(self, x, f, c, place):
        return x + f * place.block**-0.5

    def factors(self, place, params=None):
        return 1.0, place.block**-0.5


class Elsewhere(nn.Residual):
    """y = x + F(2x)."""

    def read(self, x, c, place):
        return 2 * x


def test_a_connection_says_itself_what_it_multiplies_with():
    direct, branch = theory.paths(Shallow(), 4)
    np.testing.assert_allclose(direct, np.ones(4))
    np.testing.assert_allclose(branch, 1 / np.arange(1, 5))
    squares, backward = theory.growth(direct, branch, "none", 4, 1)
    np.testing.assert_allclose(squares, [1, 2, 3, 4])  # Π (1 + 1/l) = l + 1
    np.testing.assert_allclose(backward, [4, 2, 4 / 3, 1])
    assert theory.condition(branch, "none", 4, 1) == pytest.approx(theory.condition(branch.mean(), "none", 4, 1))
    assert theory.cosines(0.2, 4, 1, branch)[1] == theory.cosines(0.2, 4, 1, 1)[1]


@pytest.mark.parametrize(
    "connection",
    (
        nn.Projected(),
        nn.Projected(nn.Scaled(alpha=0.5)),
        nn.ShortcutGate(),
        nn.ExclusiveGate(),
        nn.Dropout(),
        Elsewhere(),
    ),
)
def test_there_are_no_factors_of_what_draws_gates_projects_or_reads_otherwise(connection):
    assert theory.paths(connection, 4) is None


@pytest.mark.parametrize(
    ("connection", "a", "b"),
    (
        (nn.Plain(), 0, 1),
        (nn.Residual(), 1, 1),
        (nn.Scaled(alpha=0.9, beta=0.5, power=0.5), 0.9, 0.25),
        (nn.ReZero(alpha=0.3), 1, 0.3),
    ),
)
def test_the_factors_of_constants_are_those_of_every_block(connection, a, b):
    direct, branch = theory.paths(connection, 4)
    np.testing.assert_allclose(direct, [a**2] * 4)
    np.testing.assert_allclose(branch, [b**2] * 4)
