"""The Jacobian of all blocks as one map: against reverse mode, products of matrices and numpy.linalg, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, jitter

from resjax import models, nn
from resjax.probes import blocks, singular_values, total_jacobian, whiteness
from resjax.probes.whiteness import without_ends

conditioning = jax.jit(total_jacobian.conditioning, static_argnums=0)
jit_settled = jax.jit(whiteness.settled, static_argnums=0)


def made(model=models.dense, depth=8, size=1, **parts):
    """A small network with random parameters and state, images and labels, all in float64."""
    network = model(depth, **{"width": 5, "classes": 3, "norm": nn.BatchNorm(momentum=0.0)} | parts)
    images = jax.random.normal(jax.random.key(0), (6, size, size, 3), jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(1), images)
    return network, jitter(double(params), 2), jitter(double(state), 3), images, jnp.arange(6) % 3


@pytest.mark.parametrize(
    "choices",
    (
        {"depth": 6, "projections": 1, "shortcut": nn.orthogonal(), "connection": nn.Dropout()},
        pytest.param(
            {"model": models.resnet, "depth": 14, "shortcut": nn.MaxPool(), "projections": 1, "size": 4, "width": 2},
            marks=pytest.mark.slow,
        ),
    ),
)
def test_the_conditioning_is_that_of_the_jacobian_of_all_blocks(choices):
    network, params, state, images, labels = made(**choices)
    noise = jax.random.key(4)
    settled = jit_settled(network, params, state, images, noise)
    found = conditioning(network, params, settled, images[:2], labels[:2])

    @jax.jit
    def whole(params):
        x = network.stem.apply({"params": params["stem"], **settled["stem"]}, images, train=False)[:2]
        through = lambda one: without_ends(network).apply(params, settled, one[None])[0].ravel()  # noqa: E731
        loss = lambda y: -jax.nn.log_softmax(head(y))[jnp.arange(2), labels[:2]].sum()  # noqa: E731
        head = lambda y: network.head.apply({"params": params["head"], **settled["head"]}, y, train=False)  # noqa: E731
        y, pull = jax.vjp(lambda x: without_ends(network).apply(params, settled, x)[0], x)
        outer = jax.grad(loss)(y)
        return jax.vmap(jax.jacrev(through))(x), outer, pull(outer)[0]

    matrices, outer, inner = whole(params)
    sigma = np.linalg.svd(np.asarray(matrices).reshape(2, outer[0].size, -1), compute_uv=False)
    assert found["sigma_max"] == pytest.approx(np.median(sigma[:, 0]), rel=1e-9)
    assert found["sigma_min"] == pytest.approx(np.median(sigma[:, -1]), rel=1e-6, abs=1e-12)
    assert found["gradient_norm"] == pytest.approx(np.linalg.norm(inner) / np.linalg.norm(outer), rel=1e-9)
    if found["sigma_min"] > 1e-9:  # else it is rounding
        assert found["condition"] == pytest.approx(np.median(sigma[:, 0] / sigma[:, -1]), rel=1e-6)


def test_blocks_without_branches_are_the_product_of_their_skips():
    linear = {"norm": nn.NoNorm(), "connection": nn.Scaled(beta=0), "branch": nn.Dense(layers=1)}
    network, params, state, images, labels = made(shortcut=nn.Projection(), projections=6, **linear)
    found = conditioning(network, params, state, images[:2], labels[:2])
    kernels = params["stages"][0][0]["connection"]["shortcut"]["Dense_0"]["kernel"]  # L D D
    product = np.linalg.multi_dot(np.asarray(kernels))
    assert found["condition"] == pytest.approx(np.linalg.cond(product), rel=1e-9)
    assert found["sigma_max"] == pytest.approx(np.linalg.norm(product, 2), rel=1e-9)


@pytest.mark.parametrize("exact", (2048, 4))
def test_the_spectra_are_those_of_the_matrices(monkeypatch, exact):
    monkeypatch.setattr(singular_values, "EXACT", exact)
    network, params, state, images, _ = made(width=6)
    x = blocks.before(network, params, state, images)
    run = functools.partial(total_jacobian.spectra, network)
    values, determinants = jax.jit(run, static_argnums=4)(params, state, x, jax.random.key(5), 6)
    through = without_ends(network)
    written = [jax.jacrev(lambda x: through.apply(params, state, x[None])[0][0])(one) for one in x]
    close(values, np.linalg.svd(written, compute_uv=False), 1e-7)
    close(determinants, np.linalg.slogdet(written)[1] if exact > 6 else np.full(6, np.nan), 1e-9)


def test_the_spread_is_a_mean_of_logarithms_and_rounding_has_no_rank():
    values = np.array([[4.0, 1.0, 1e-20], [1.0, 0.5, 0.25]])
    found = total_jacobian.spread(values, 3)
    assert found["sigma_max"] == pytest.approx(2) and found["sigma_min"] == pytest.approx(0.5e-10)
    assert found["condition"] == pytest.approx(4e10) and found["rank_share"] == 5 / 6
    assert found["rank_share"] == sum(map(np.linalg.matrix_rank, map(np.diag, values))) / values.size
    assert total_jacobian.spread(np.array([[4.0, np.nan, 1.0]]), 3)["rank_share"] == 1  # what is no value is not lost
