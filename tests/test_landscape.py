"""Loss landscapes: each part of them against a loop, a dense matrix or a closed form, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, jitter
from jax.flatten_util import ravel_pytree
from scipy.special import logsumexp

from resjax import models, nn
from resjax.network import Network
from resjax.probes import curvature, hessian, landscape, loss_surface
from resjax.probes.directions import displaced, filter_normalized, principal_directions

CLASSES = 3
IMAGES = {"model": models.resnet, "depth": 8, "width": 2, "size": 4}
PRODUCTS = 30  # of the Hessian with a vector
apply = jax.jit(lambda *args: Network.apply(*args)[0], static_argnums=0)
init = jax.jit(Network.init, static_argnums=0)


def made(model=models.dense, depth=6, size=1, **choices):
    """A network with random parameters and state, images and labels, all in float64."""
    network = model(depth, classes=CLASSES, **{"width": 3, "norm": nn.BatchNorm()} | choices)
    images = jax.random.normal(jax.random.key(0), (8, size, size, 3), jnp.float64)
    params, state = map(double, init(network, jax.random.key(1), images))
    return network, jitter(params, 2), jitter(state, 3), images, jnp.arange(len(images)) % CLASSES


def leaves(tree):
    """The path of every leaf, as its keys, and the leaf."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return [
        ([getattr(key, "key", getattr(key, "idx", None)) for key in path], np.asarray(leaf)) for path, leaf in found
    ]


def kernels(tree):
    """All kernels in one vector."""
    return np.concatenate([leaf.ravel() for path, leaf in leaves(tree) if path[-1] == "kernel"])


def cross_entropy(logits, labels):
    """The loss of each example."""
    return logsumexp(logits, axis=-1) - np.asarray(logits)[np.arange(len(labels)), labels]


def test_filters_of_a_direction_are_as_long_as_those_of_the_weights():
    draw = np.random.default_rng(0)
    params = {  # a dense and a convolutional stack, of 3 and 2 blocks
        "stem": {"Conv_0": {"kernel": draw.normal(size=(3, 3, 2, 4)), "bias": draw.normal(size=4)}},
        "stages": [
            {"Dense_0": {"kernel": draw.normal(size=(3, 4, 5)), "bias": draw.normal(size=(3, 5))}},
            {"Conv_0": {"kernel": draw.normal(size=(2, 3, 3, 4, 5))}, "norm": {"scale": draw.normal(size=(2, 4))}},
        ],
        "head": {"Dense_0": {"kernel": draw.normal(size=(5, 3)), "bias": draw.normal(size=3)}, "alpha": draw.normal()},
        "connection": {"gate": {"kernel": draw.normal(size=(5, 5))}},
    }
    direction, other = (filter_normalized(jax.random.key(seed), params) for seed in (0, 1))
    for (path, drawn), (_, wanted) in zip(leaves(direction), leaves(params), strict=True):
        if path[-1] != "kernel" or path[0] == "connection":
            assert (drawn == 0).all()
            continue
        for block in range(len(wanted)) if path[0] == "stages" else [...]:
            for unit in range(wanted.shape[-1]):
                length = np.linalg.norm(wanted[block][..., unit].ravel())
                assert np.linalg.norm(drawn[block][..., unit].ravel()) == pytest.approx(length, rel=1e-12)
    assert abs(np.corrcoef(kernels(direction), kernels(other))[0, 1]) < 0.3


@pytest.mark.parametrize("choices", ({}, pytest.param(IMAGES, marks=pytest.mark.slow)))
def test_losses_on_a_plane_are_those_of_the_networks_there(choices):
    network, params, state, images, labels = made(**choices)
    first, second = (filter_normalized(jax.random.key(seed), params) for seed in (0, 1))
    points = np.random.default_rng(0).uniform(-1, 1, (4, 2))
    found = loss_surface.losses(network, params, state, images, labels, (first, second), points)
    for (x, y), loss, accuracy in zip(points, *found, strict=True):
        there = jax.tree.map(lambda leaf, one, other, x=x, y=y: leaf + x * one + y * other, params, first, second)
        logits = apply(network, there, state, images)
        assert loss == pytest.approx(cross_entropy(logits, labels).mean(), rel=1e-10)
        assert accuracy == np.mean(np.argmax(logits, -1) == np.asarray(labels))


@pytest.mark.parametrize(("limit", "value", "batch"), (("AT_ONCE", 3, 3), ("BATCH_BYTES", 1, 1)))
def test_a_plane_that_is_cut_into_batches_is_the_same(monkeypatch, limit, value, batch):
    made_up = made()
    directions = [filter_normalized(jax.random.key(seed), made_up[1]) for seed in (0, 1)]
    points = np.random.default_rng(0).uniform(-1, 1, (7, 2))
    whole = loss_surface.losses(*made_up, directions, points)
    monkeypatch.setattr(loss_surface, limit, value)
    assert loss_surface.points_at_once(*made_up[:4]) == batch
    close(loss_surface.losses(*made_up, directions, points), whole)


def test_principal_directions_are_those_of_the_explicit_matrix():
    _, params, *_ = made()
    trajectory = [jitter(params, seed) for seed in range(4, 9)]
    directions, coordinates, explained = principal_directions(trajectory, params)
    matrix = np.stack([kernels(before) - kernels(params) for before in trajectory])
    _, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    found = np.stack([kernels(direction) for direction in directions])
    np.testing.assert_allclose(found @ found.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(np.abs(found @ right.T), np.eye(2, 5), atol=1e-10)
    np.testing.assert_allclose(coordinates, matrix @ found.T, rtol=1e-10)
    np.testing.assert_allclose(explained, sizes**2 / (sizes**2).sum(), rtol=1e-10)
    assert (coordinates[0] >= 0).all()
    assert all((leaf == 0).all() for tree in directions for path, leaf in leaves(tree) if path[-1] != "kernel")


def test_a_trajectory_in_a_plane_is_found_there():
    _, params, *_ = made()
    plane = [filter_normalized(jax.random.key(seed), params) for seed in (0, 1)]
    points = np.array([(3.0, 1.0), (2.0, -1.0), (1.0, 0.5)])
    trajectory = [displaced(params, plane, point) for point in points]
    directions, coordinates, explained = principal_directions(trajectory, params)
    assert explained[:2].sum() == pytest.approx(1)
    for before, point in zip(trajectory, coordinates, strict=True):
        np.testing.assert_allclose(kernels(displaced(params, directions, point)), kernels(before), rtol=1e-9)


def dense_hessian(network, params, state, images, labels):
    """The eigenvalues, smallest first, of the matrix of central differences of the gradient."""
    flat, unravel = ravel_pytree(params)

    def loss(flat):
        logits = network.apply(unravel(flat), state, images)[0]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    gradient, steps = jax.jit(jax.grad(loss)), 1e-5 * np.eye(flat.size)
    matrix = np.stack([(gradient(flat + step) - gradient(flat - step)) / 2e-5 for step in steps])
    return np.linalg.eigvalsh((matrix + matrix.T) / 2)


@pytest.mark.parametrize("choices", ({}, pytest.param(IMAGES, marks=pytest.mark.slow)))
def test_lanczos_finds_the_ends_of_the_spectrum_of_the_hessian(choices):
    made_up = made(**choices)
    exact = dense_hessian(*made_up)
    values, errors = curvature.eigenvalues(*made_up, jax.random.key(0), PRODUCTS)
    np.testing.assert_allclose(values[[0, 1, -1]], exact[[-1, -2, 0]], rtol=1e-5)
    nearest, rounding = np.abs(values[:, None] - exact).min(1), 1e-6 * exact[-1]
    assert (np.diff(values) < 0).all() and (nearest <= errors + rounding).all() and errors[0] < rounding


def test_lanczos_ends_where_the_hessian_has_no_further_direction():
    network, params, *rest = made()

    def no_kernels(path, leaf):
        return leaf * (path[-1].key != "kernel") * (path[-1].key != "bias")

    # only the head's biases curve: with K equal logits the Hessian is diag(p) − ppᵀ, p = 1/K
    values, _ = curvature.eigenvalues(
        network, jax.tree_util.tree_map_with_path(no_kernels, params), *rest, jax.random.key(0), PRODUCTS
    )
    assert 2 <= len(values) < PRODUCTS
    np.testing.assert_allclose(values[[0, -1]], [1 / CLASSES, 0], atol=1e-12)
    assert np.minimum(np.abs(values), np.abs(values - 1 / CLASSES)).max() < 1e-12


def test_a_loss_that_is_not_finite_has_no_curvature():
    network, params, *rest = made()
    values, _ = curvature.eigenvalues(
        network, jax.tree.map(lambda leaf: 1e200 * leaf, params), *rest, jax.random.key(0), PRODUCTS
    )
    assert np.isnan(values).all()


def test_convexity_of_functions_where_it_is_known():
    x = np.arange(-25.0, 26.0)
    assert loss_surface.convexity(x**2) == loss_surface.convexity(np.abs(x)) == loss_surface.convexity(3 + 0.0 * x) == 1
    assert loss_surface.convexity(-(x**2)) == 0
    assert loss_surface.convexity(x**3) == pytest.approx(26 / 50)  # chords with their middle at x ≥ 0: (m + 1) / 2m
    assert loss_surface.convexity(np.stack([x**2, -(x**2)])) == 0.5
    assert loss_surface.convexity(-(x**2), highest=-1.0) == 0 and np.isnan(loss_surface.convexity(x**2, highest=-1.0))
    hill = np.where(np.abs(x) < 5, 20 - x**2, 1000)
    assert loss_surface.convexity(hill, highest=20.0) == 0 < loss_surface.convexity(hill)


def test_the_share_of_a_paraboloid_within_a_level():
    x, y = np.meshgrid(*[np.linspace(-1, 1, 401)] * 2)
    loss = 3 + x**2 + y**2
    assert loss_surface.share_within(loss, 3.0, 0.5) == pytest.approx(np.pi * 0.5 / 4, abs=2e-3)
    loss[:200] = np.nan
    loss[-200:] = np.inf
    assert loss_surface.share_within(loss, 3.0, 0.5) < 0.01


def test_the_table_of_a_plane_has_a_row_a_point():
    network, params, state, images, labels = made()
    table = landscape(network, params, state, images, labels, jax.random.key(0), radius=0.5, resolution=3)
    assert list(table.columns) == ["x", "y", "loss", "accuracy"] and len(table) == 9
    assert sorted(set(table["x"])) == sorted(set(table["y"])) == [-0.5, 0, 0.5]
    middle = table[(table["x"] == 0) & (table["y"] == 0)].iloc[0]
    logits = apply(network, params, state, images)
    assert middle["loss"] == pytest.approx(cross_entropy(logits, labels).mean(), rel=1e-10)
    directions = [filter_normalized(key, params) for key in jax.random.split(jax.random.key(0))]
    point = np.array([[0.5, -0.5]])
    expected = loss_surface.losses(network, params, state, images, labels, directions, point)
    corner = table[(table["x"] == 0.5) & (table["y"] == -0.5)].iloc[0]
    np.testing.assert_allclose(corner[["loss", "accuracy"]], np.ravel(expected), rtol=1e-10)


def test_the_table_of_the_curvature_has_a_row_an_eigenvalue():
    made_up = made()
    table = hessian(*made_up, steps=5)
    expected = curvature.eigenvalues(*made_up, jax.random.key(0), 5)
    assert list(table.columns) == ["eigenvalue", "error"]
    close((table["eigenvalue"].to_numpy(), table["error"].to_numpy()), expected)


def test_with_batch_statistics_the_loss_is_that_of_training():
    network = models.dense(4, width=4, norm=nn.BatchNorm())
    images = jax.random.normal(jax.random.key(0), (16, 2, 2, 1))
    labels = jnp.arange(16) % 10
    params, state = jax.jit(network.init)(jax.random.key(1), images[:1])
    point = np.array([[0.0, 0.0], [0.3, -0.2]])
    directions = [filter_normalized(jax.random.key(seed), params) for seed in (2, 3)]
    found, _ = loss_surface.losses(network, params, state, images, labels, directions, point, batch_statistics=True)
    for (x, y), loss in zip(point, found, strict=True):
        there = jax.tree.map(lambda p, a, b, x=x, y=y: p + x * a + y * b, params, *directions)
        logits, _, _ = network.apply(there, state, images, train=True)
        close(loss, -jax.nn.log_softmax(logits)[jnp.arange(16), labels].mean())
    values, _ = curvature.eigenvalues(network, params, state, images, labels, jax.random.key(4), 40, True)

    def flat_loss(flat):
        logits, _, _ = network.apply(unravel(flat), state, images, train=True)
        return -jax.nn.log_softmax(logits)[jnp.arange(16), labels].mean()

    flat, unravel = ravel_pytree(params)
    close(values[0], jnp.linalg.eigvalsh(jax.jit(jax.hessian(flat_loss))(flat))[-1], 1e-3)
