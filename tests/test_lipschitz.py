"""Norms of layers against the SVD of the matrix written out, and bounds that hold."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import double, jitter

from resjax import models, nn
from resjax.nn.convolution import convolve
from resjax.nn.initializers import he_normal, zeros
from resjax.nn.spectral_norm import power_iteration, unit
from resjax.nn.weights import Conv, Dense
from resjax.probes import lipschitz, lipschitz_bounds, stretch

KEY = jax.random.key(0)


def made(model=models.dense, depth=8, moved=True, **choices):
    """A network, with weights (and running variances) that training could have made, and images."""
    network = model(depth, classes=3, **{"width": 6} | choices)
    images = jax.random.normal(KEY, (4, 4, 4, 1), jnp.float64)
    params, state = jax.jit(network.init)(KEY, images)
    if moved:
        params = jitter(params, 1)
        state = jitter(state, 2)
    return network, params, state, images


def written_out(kernel, size, stride):
    """A convolution as a matrix, by what it makes of every pixel that is one."""
    channels = kernel.shape[2]
    pixels = jnp.eye(size * size * channels).reshape(-1, size, size, channels)
    return np.asarray(convolve(pixels, kernel, stride)).reshape(len(pixels), -1).T


@pytest.mark.parametrize(("side", "stride"), ((3, 1), (3, 2), (1, 1)))
def test_the_norm_of_a_convolution_is_that_of_its_matrix(side, stride):
    kernel = jax.random.normal(KEY, (side, side, 3, 4), jnp.float64)
    expected = np.linalg.norm(written_out(kernel, 6, stride), 2)
    module = Conv(4, side, stride, he_normal())
    found = stretch.product(module, {"params": {"kernel": kernel}}, (jnp.zeros((1, 6, 6, 3)),), KEY)
    assert abs(found / expected - 1) < 1e-3
    u = power_iteration(lambda x: convolve(x, kernel, stride), unit(jnp.ones((1, 6, 6, 3))), 300)
    assert abs(jnp.linalg.norm(convolve(u, kernel, stride)) / expected - 1) < 1e-3


@pytest.mark.parametrize("bound", (0.5, 100.0))
@pytest.mark.parametrize("kind", ("dense", "conv"))
def test_spectral_normalisation_only_shrinks(kind, bound):
    if kind == "dense":
        module = Dense(9, he_normal(), zeros(), bound)
        x = jnp.eye(7)
    else:
        module = Conv(2, 3, 1, he_normal(), bound)
        x = jnp.eye(75).reshape(-1, 5, 5, 3)
    variables = jax.jit(module.init)(KEY, x)
    effective = np.asarray(module.apply(variables, x)).reshape(len(x), -1)
    plain = {"params": dict(variables["params"])}
    raw = np.asarray(module.clone(bound=0.0).apply(plain, x)).reshape(len(x), -1)
    norm = np.linalg.norm(raw, 2)
    np.testing.assert_allclose(effective, raw * min(1, bound / norm), rtol=2e-3, atol=1e-5)


def test_training_moves_the_power_iteration_and_evaluation_does_not():
    network, moved, state, images = made(depth=6, width=5, norm=nn.NoNorm(), spectral_norm=0.5)
    apply = jax.jit(network.apply, static_argnames="train")
    _, same, _ = apply(moved, state, images, train=False)
    assert jax.tree.all(jax.tree.map(lambda one, other: (one == other).all(), same, state))
    for _ in range(60):
        _, state, _ = apply(moved, state, images, train=True)
    kernel = moved["stages"][0][0]["branch"]["Dense_0"]["kernel"]
    vector = state["stages"][0][0]["spectral"]["branch"]["Dense_0"]["SpectralNorm_0"]["vector"]
    for place in range(network.length):
        found = np.linalg.norm(vector[place] @ kernel[place])
        assert abs(found / np.linalg.norm(kernel[place], 2) - 1) < 1e-4


def test_a_kernel_that_starts_at_zero_is_bounded_once_it_moves():
    module = Dense(4, zeros(), zeros(), 0.5)
    x = jnp.eye(4)
    variables = module.init(KEY, x)
    moved = {"params": {**variables["params"], "kernel": jnp.diag(jnp.array([3.0, 1, 1, 1]))}}
    spectral = {"spectral": variables["spectral"]}
    for _ in range(20):
        found, spectral = module.apply(moved | spectral, x, mutable=["spectral"])
    assert np.linalg.norm(found, 2) == pytest.approx(0.5, rel=1e-4)


def test_tied_layers_are_bounded_in_every_turn():
    network = models.dense(12, width=8, looped=True, spectral_norm=0.5, norm=nn.NoNorm())
    params, state = network.init(KEY, jnp.ones((1, 2, 2, 1)))
    kernel = np.asarray(params["stages"][0][0]["branch"]["Dense_0"]["kernel"][0])
    vectors = state["stages"][0][0]["spectral"]["branch"]["Dense_0"]["SpectralNorm_0"]["vector"]
    found = [np.linalg.norm(vector @ kernel) for vector in vectors]
    np.testing.assert_allclose(found, np.linalg.norm(kernel, 2), rtol=1e-3)


def test_the_gradient_is_that_of_the_bounded_kernel():
    module = Dense(4, he_normal(), zeros(), 0.3)
    variables = double(jax.jit(module.init)(KEY, jnp.ones((1, 4))))
    x, y = jax.random.normal(KEY, (2, 5, 4), jnp.float64)

    def through(kernel):
        own = variables | {"params": variables["params"] | {"kernel": kernel}}
        return (module.apply(own, x) * y).sum()

    def written(kernel):
        return (x @ (kernel * 0.3 / jnp.linalg.norm(kernel, 2)) * y).sum()

    kernel = variables["params"]["kernel"]
    found, expected = (jax.grad(function)(kernel) for function in (through, written))
    np.testing.assert_allclose(found, expected, atol=1e-4)


BELOW = (
    {"norm": nn.NoNorm()},
    {"norm": nn.BatchNorm(), "connection": nn.ReZero(alpha=0.3)},
    {"order": nn.POST, "norm": nn.NoNorm()},
    {"order": nn.NORM_AFTER_ADDITION, "connection": nn.Scaled(alpha=0.9, beta=0.5)},
)
SLOWER = (
    {"norm": nn.LayerNorm(), "connection": nn.Scaled(alpha=0.9, power=0.5), "activation": jax.nn.gelu},
    {"norm": nn.BatchNorm(), "connection": nn.Plain()},
    {"norm": nn.LayerNorm(), "order": nn.NORM_AFTER_ADDITION},
    {
        "model": models.iresnet,
        "depth": 10,
        "norm": nn.NoNorm(),
        "spectral_norm": 0.9,
        "activation": jax.nn.elu,
        "moved": False,
    },
)


@pytest.mark.parametrize("choices", (*BELOW, *[pytest.param(choices, marks=pytest.mark.slow) for choices in SLOWER]))
def test_what_is_measured_is_below_the_bound(choices):
    network, params, state, images = made(**choices)
    table = lipschitz(network, params, state, images, key=KEY)
    assert list(table.columns) == ["block", "lower", "upper"] and len(table) == network.length
    assert np.isfinite(table["upper"]).all() and (table["lower"] <= table["upper"] * 1.001).all()


@pytest.mark.parametrize("order", (nn.POST, nn.NORM_AFTER_ADDITION))
def test_what_stands_behind_the_addition_counts(order):
    """y − x of ReLU(x + F(x)) is −x where x is negative, however small F is."""
    network, params, state, images = made(depth=4, norm=nn.NoNorm(), order=order, spectral_norm=0.5, moved=False)
    found = lipschitz(network, params, state, images)
    assert found["lower"][0] > 0.9  # the product of the layers' norms alone is 0.25
    factor = 1 + (1 + 0.25)  # 1 + Lip(ReLU)·(|a| + |b| Lip(F))
    np.testing.assert_allclose(found["upper"], factor, rtol=2e-3)


def test_the_norm_behind_the_addition_is_a_factor():
    style = {
        "branch": nn.Dense(layers=1),
        "order": nn.NORM_AFTER_ADDITION,
        "connection": nn.Scaled(alpha=0.5, beta=2.0),
    }
    network, params, state, images = made(depth=3, norm=nn.BatchNorm(), **style)
    block = params["stages"][0][0]
    scale = block["after"]["BatchNorm_0"]["norm"]["scale"][0]
    running = state["stages"][0][0]["batch_stats"]["after"]["BatchNorm_0"]["norm"]["var"][0]
    behind = np.abs(scale / np.sqrt(running + 1e-5)).max()
    inside = np.linalg.norm(block["branch"]["Dense_0"]["kernel"][0], 2)
    found = lipschitz(network, params, state, images)["upper"]
    np.testing.assert_allclose(found, 1 + behind * (0.5 + 2 * inside), rtol=1e-3)


def test_the_bound_of_one_dense_block_is_the_product_of_its_norms():
    network, params, state, _ = made(depth=4, norm=nn.BatchNorm(), connection=nn.Scaled(beta=0.5))
    block = params["stages"][0][0]["branch"]
    running = state["stages"][0][0]["batch_stats"]["branch"]
    expected = 0.5
    for layer in range(2):
        expected *= np.linalg.norm(block[f"Dense_{layer}"]["kernel"][0], 2)
        scale = block[f"BatchNorm_{layer}"]["norm"]["scale"][0]
        expected *= np.abs(scale / np.sqrt(running[f"BatchNorm_{layer}"]["norm"]["var"][0] + 1e-5)).max()
    found = lipschitz_bounds.upper(network, params, state, jnp.ones((1, 6), jnp.float64), KEY)
    np.testing.assert_allclose(found, [expected], rtol=1e-3)


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
    network, params, state, images = made(norm=nn.NoNorm(), connection=Shallow())
    found = lipschitz(network, params, state, images)
    branch = params["stages"][0][0]["branch"]
    first, second = (np.linalg.norm(branch[f"Dense_{layer}"]["kernel"], 2, axis=(1, 2)) for layer in range(2))
    np.testing.assert_allclose(found["upper"], first * second * np.arange(1, 4) ** -0.5, rtol=1e-3)
    assert (found["lower"] <= found["upper"] * 1.001).all()


class Mine(linen.Module):
    """A block of the user's own."""

    @linen.compact
    def __call__(self, x, train):
        return x + linen.Dense(x.shape[-1])(x)


@pytest.mark.parametrize(
    "choices",
    (
        {"block": Mine()},
        {"block": Mine(), "connection": nn.ReZero()},  # 0 times what is not known
        {"connection": nn.Projected()},
        {"connection": nn.ShortcutGate()},
        {"connection": Elsewhere()},
        {"activation": jnp.sin},
        {"norm": Mine()},
        {"norm": Mine(), "order": nn.NORM_AFTER_ADDITION},
    ),
)
def test_no_bound_is_known_of_what_is_the_users_own_or_no_sum(choices):
    network, params, state, _ = made(depth=4, **choices)
    found = lipschitz_bounds.upper(network, params, state, jnp.ones((1, 6), jnp.float64), KEY)
    assert jnp.isinf(found).all()


def test_a_block_that_changes_the_shape_has_no_difference():
    network, params, state, images = made(models.resnet, depth=8, width=2)
    with pytest.raises(ValueError, match="block 1 opens a stage"):
        lipschitz(network, params, state, images)


@pytest.mark.parametrize("activation", stretch.ACTIVATIONS, ids=lambda activation: activation.__name__)
def test_the_steepest_slope_of_every_activation(activation):
    x = jnp.linspace(-20, 20, 400_001)
    slopes = jax.vmap(lambda x: jnp.linalg.norm(jnp.ravel(jax.jacfwd(activation)(x[None]))))(x)
    assert slopes.max() <= stretch.ACTIVATIONS[activation] < slopes.max() + 1e-3
