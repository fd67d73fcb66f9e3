"""Norms of layers against the SVD of the matrix written out, and bounds that hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import double, jitter

from resjax import architectures, parts
from resjax.config import Untrained
from resjax.convolution import convolve
from resjax.initializers import Place
from resjax.probes import lipschitz
from resjax.spectral import power_iteration, unit

KEY = jax.random.key(0)


def written_out(kernel, size, stride):
    """A convolution as a matrix, by what it makes of every pixel that is one."""
    channels = kernel.shape[2]
    pixels = jnp.eye(size * size * channels).reshape(-1, size, size, channels)
    return np.asarray(convolve(pixels, kernel, stride)).reshape(len(pixels), -1).T


@pytest.mark.parametrize(("side", "stride"), ((3, 1), (3, 2), (1, 1)))
def test_the_norm_of_a_convolution_is_that_of_its_matrix(side, stride):
    kernel = jax.random.normal(KEY, (side, side, 3, 4), jnp.float64)
    expected = np.linalg.norm(written_out(kernel, 6, stride), 2)
    module = parts.Conv(4, side, stride, "he_normal", Place())
    found = lipschitz._product(module, {"params": {"kernel": kernel}}, (jnp.zeros((1, 6, 6, 3)),), KEY)
    assert abs(found / expected - 1) < 1e-3
    u = power_iteration(lambda x: convolve(x, kernel, stride), unit(jnp.ones((1, 6, 6, 3))), 300)
    assert abs(jnp.linalg.norm(convolve(u, kernel, stride)) / expected - 1) < 1e-3


@pytest.mark.parametrize("bound", (0.5, 100.0))
@pytest.mark.parametrize("kind", ("dense", "conv"))
def test_spectral_normalisation_only_shrinks(kind, bound):
    if kind == "dense":
        module, x = parts.Dense(9, "he_normal", "zeros", Place(), bound), jnp.eye(7)
    else:
        module = parts.Conv(2, 3, 1, "he_normal", Place(), bound)
        x = jnp.eye(75).reshape(-1, 5, 5, 3)
    variables = jax.jit(module.init)(KEY, x)
    effective = np.asarray(module.apply(variables, x)).reshape(len(x), -1)
    plain = {"params": {name: leaf for name, leaf in variables["params"].items()}}
    raw = np.asarray(module.clone(bound=0.0).apply(plain, x)).reshape(len(x), -1)
    norm = np.linalg.norm(raw, 2)
    np.testing.assert_allclose(effective, raw * min(1, bound / norm), rtol=2e-3, atol=1e-5)


def test_training_moves_the_power_iteration_and_evaluation_does_not():
    network = architectures.build(Untrained(depth=6, width=5, norm="none", spectral_norm=0.5), 3)
    images = jax.random.normal(KEY, (4, 3, 3, 1))
    params, state = jax.jit(network.init)(KEY, images)
    moved = jitter(params, 1)
    apply = jax.jit(network.apply, static_argnames="train")
    _, same, _ = apply(moved, state, images, train=False)
    assert jax.tree.all(jax.tree.map(lambda one, other: (one == other).all(), same, state))
    for _ in range(60):
        _, state, _ = apply(moved, state, images, train=True)
    kernel = moved["stages"][0]["branch"]["Dense_0"]["kernel"]
    vector = state["stages"][0]["spectral"]["branch"]["Dense_0"]["SpectralNorm_0"]["vector"]
    for place in range(network.length):
        found = np.linalg.norm(vector[place] @ kernel[place])
        assert abs(found / np.linalg.norm(kernel[place], 2) - 1) < 1e-4


def test_the_gradient_is_that_of_the_bounded_kernel():
    module = parts.Dense(4, "he_normal", "zeros", Place(), 0.3)
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


@pytest.mark.parametrize(
    "choices",
    (
        {"norm": "none"},
        {"norm": "batch", "connection": "rezero(alpha=0.3)"},
        *[
            pytest.param(choices, marks=pytest.mark.slow)
            for choices in (
                {"norm": "layer", "connection": "scaled(alpha=0.9,power=0.5)", "activation": "gelu"},
                {"norm": "batch", "connection": "plain"},
                {"network": "iresnet", "depth": 10, "norm": "none", "spectral_norm": 0.9, "activation": "elu"},
            )
        ],
    ),
)
def test_what_is_measured_is_below_the_bound(choices):
    network = architectures.build(Untrained(**{"depth": 8, "width": 6} | choices), 3)
    images = jax.random.normal(KEY, (4, 4, 4, 1))
    params, state = jax.jit(network.init)(KEY, images)
    params, state = jitter(params, 1), jitter(state, 2) if "batch" in choices["norm"] else state
    x = network.stem.apply({"params": params["stem"], **state["stem"]}, images.astype(jnp.float64), train=False)
    read = jax.jit(lambda probe, x: probe(network, params, state, x, KEY), static_argnums=0)
    lower, upper = read(lipschitz.lower, x), read(lipschitz.upper, x[:1])
    assert lower.shape == upper.shape == (network.length,) and jnp.isfinite(upper).all()
    assert (lower <= upper * 1.001).all()


def test_the_bound_of_one_dense_block_is_the_product_of_its_norms():
    network = architectures.build(Untrained(depth=4, width=6, norm="batch", connection="scaled(beta=0.5)"), 3)
    images = jax.random.normal(KEY, (4, 4, 4, 1))
    params, state = jax.jit(network.init)(KEY, images)
    params, state = jitter(params, 1), jitter(state, 2)
    block, running = params["stages"][0]["branch"], state["stages"][0]["batch_stats"]["branch"]
    expected = 0.5
    for layer in range(2):
        expected *= np.linalg.norm(block[f"Dense_{layer}"]["kernel"][0], 2)
        scale = block[f"BatchNorm_{layer}"]["norm"]["scale"][0]
        expected *= np.abs(scale / np.sqrt(running[f"BatchNorm_{layer}"]["norm"]["var"][0] + 1e-5)).max()
    found = lipschitz.upper(network, params, state, jnp.ones((1, 6), jnp.float64), KEY)
    np.testing.assert_allclose(found, [expected], rtol=1e-3)


def test_no_bound_is_known_of_a_block_of_the_users_own():
    network = architectures.build(Untrained(depth=4, width=6, block="own_blocks:Mine"), 3)
    params, state = jax.jit(network.init)(KEY, jnp.ones((1, 4, 4, 1)))
    found = lipschitz.upper(network, params, state, jnp.ones((1, 6), jnp.float64), KEY)
    assert jnp.isinf(found).all()


@pytest.mark.parametrize("name", sorted(lipschitz.ACTIVATIONS))
def test_the_steepest_slope_of_every_activation(name):
    from resjax import activations

    x = jnp.linspace(-20, 20, 400_001)
    slopes = jax.vmap(lambda x: jnp.linalg.norm(jnp.ravel(jax.jacfwd(activations.build(name))(x[None]))))(x)
    assert slopes.max() <= lipschitz.ACTIVATIONS[name] < slopes.max() + 1e-3
