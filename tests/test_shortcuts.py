"""Projections in skips: where they stand, and what they do to the stream."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close

from resjax import models, nn
from resjax.cost import parameter_count
from resjax.nn import initializers

IMAGE = jnp.zeros((2, 7, 7, 3))  # x
HALF = {"features": 5, "stride": 2}  # of F(x), 2 4 4 5


def projected(network):
    """By block, L: whether its skip is the shortcut though the size stays."""
    return [isinstance(block.connection, nn.Projected) for block in network.blocks]


@pytest.mark.parametrize("count", range(19))
def test_so_many_blocks_are_projected_and_spread_evenly(count):
    network = models.dense(38, projections=count)
    has = np.flatnonzero(projected(network))
    assert network.length == 18 and len(has) == count
    gaps = np.diff(np.concatenate([has - 18, has])) if count else [0]  # around a circle
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("count", range(8))
def test_blocks_that_change_the_size_are_not_counted(count):
    network = models.resnet(20, projections=count)
    assert sum(projected(network)) == count and network.lengths == (3, 3, 3)
    assert network.transitions == (False,) * 3 + ((True,) + (False,) * 2) * 2
    assert not any(np.logical_and(projected(network), network.transitions))


@pytest.mark.parametrize(("count", "stacks"), ((0, 1), (1, 3), (18, 1)))
def test_neighbours_of_one_kind_are_one_stack(count, stacks):
    assert len(models.dense(38, projections=count).stages) == stacks


@pytest.mark.parametrize("count", (0, 1, 5, 18))
def test_a_projection_of_a_dense_stream_adds_a_square_of_weights(count):
    def parameters(count):
        network = models.dense(38, width=8, projections=count)
        return parameter_count(jax.eval_shape(network.init, jax.random.key(0), IMAGE)[0])

    assert parameters(count) - parameters(0) == 8 * 8 * count


@pytest.mark.parametrize(
    ("network", "parts", "says"),
    (
        (models.dense, {"projections": 10}, "projections=10: at most 9, the blocks that keep the size"),
        (models.resnet, {"projections": 8}, "projections=8: at most 7, the blocks that keep the size"),
        (models.dense, {"projections": -1}, "projections=-1: must be at least 0"),
        (models.dense, {"projections": 1, "connection": nn.Plain()}, "none has a skip; use 0"),
        (models.dense, {"projections": 1, "connection": nn.Projected()}, "all have one; use 0"),
        (models.dense, {"shortcut": nn.MaxPool()}, "shortcut MaxPool: not for this network, whose stream is no image"),
    ),
)
def test_shortcuts_that_cannot_be(network, parts, says):
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        network(20, **parts)
    assert "\n" not in str(error.value)


def run(shortcut, x):
    """The shortcut's output and its parameters, at the start."""
    return shortcut.init_with_output(jax.random.key(0), x, False)


def windows(x, stride):
    """The maximum over 3×3 pixels of an image H W C, by a loop."""
    height, width, _ = x.shape
    rows, columns = (range(0, size, stride) for size in (height, width))
    return np.array([[x[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].max((0, 1)) for c in columns] for r in rows])


@pytest.mark.parametrize("shape", (HALF, {}))
def test_max_pool_takes_the_maximum_over_three_by_three_pixels(shape):
    x = jax.random.normal(jax.random.key(1), IMAGE.shape) - 3  # below the zeros that are no pixels
    y, variables = run(nn.MaxPool(**shape), x)
    pooled = np.stack([windows(np.asarray(one), shape.get("stride", 1)) for one in x])
    close(y, np.pad(pooled, [(0, 0)] * 3 + [(0, shape.get("features", 3) - 3)]), 0)
    assert not variables


@pytest.mark.parametrize("stride", (1, 2, 3))  # of 7 pixels: without, and with squares that overlap the edge
def test_avg_pool_takes_the_mean_of_the_pixels_that_are_there(stride):
    x = jax.random.normal(jax.random.key(1), IMAGE.shape, jnp.float64)
    y, variables = run(nn.AvgPool(features=5, stride=stride), x)
    starts = range(0, 7, stride)
    pooled = np.stack([[x[:, r : r + stride, c : c + stride].mean((1, 2)) for c in starts] for r in starts])  # H W B C
    close(y, np.pad(pooled, [(0, 0)] * 3 + [(0, 2)]).transpose(2, 0, 1, 3))
    assert not variables


def test_avg_pool_of_a_network_joins_where_it_halves_the_image():
    """With branches of zeros and no norm, an 8-layer ResNet is ReLU, and pooling twice."""
    shape = {"width": 4, "norm": nn.NoNorm(), "initializer": initializers.zeros(), "shortcut": nn.AvgPool()}
    network = models.resnet(8, **shape)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3), jnp.float32)
    params, state = jax.jit(network.init)(jax.random.key(0), images)
    params["stem"] = jax.tree.map(lambda kernel: kernel.at[1, 1].set(jnp.eye(3, 4, dtype=kernel.dtype)), params["stem"])
    params["head"]["Dense_0"]["kernel"] = jnp.eye(16, 10)
    logits, _, _ = network.apply(params, state, images)
    close(logits[:, :3], jnp.maximum(images, 0).mean((1, 2)), 1e-6)  # means of means of equal squares
    assert not logits[:, 3:].any()


@pytest.mark.parametrize("shortcut", (nn.Pad(), nn.AvgPool()), ids=repr)
@pytest.mark.parametrize("x", (jnp.ones((2, 5)), IMAGE + 1))
def test_pads_are_the_identity_where_the_size_stays(x, shortcut):
    close(run(shortcut, x)[0], x, 0)


def test_pad_takes_every_other_pixel_and_adds_zeros():
    x = jax.random.normal(jax.random.key(1), IMAGE.shape)
    expected = np.zeros((2, 4, 4, 5))
    expected[..., :3] = x[:, ::2, ::2]
    close(run(nn.Pad(**HALF), x)[0], expected, 0)


def test_a_projection_of_a_dense_stream_is_a_matrix():
    x = jnp.arange(6.0).reshape(2, 3)
    y, variables = run(nn.Projection(features=5), x)
    kernel = variables["params"]["Dense_0"]["kernel"]
    assert kernel.shape == (3, 5)
    close(y, x @ kernel, 1e-6)


@pytest.mark.parametrize(("x", "shape"), ((jnp.ones((2, 6)), {}), (IMAGE, HALF), (IMAGE, {})))
def test_an_orthogonal_projection_keeps_lengths(x, shape):
    x = jax.random.normal(jax.random.key(1), x.shape)
    y, variables = run(nn.orthogonal().clone(**shape), x)
    (kernel,) = jax.tree.leaves(variables)
    matrix = kernel.reshape(kernel.shape[-2:])
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1, rtol=1e-6)
    seen = x[:, ::2, ::2] if shape else x
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=-1), jnp.linalg.norm(seen, axis=-1), rtol=1e-6)


@pytest.mark.parametrize(
    ("shortcut", "share"), ((nn.Projection(), 1.0), (nn.Projection(kernel=initializers.he_normal()), 2.0))
)
def test_variance_of_a_projection_of_a_dense_stream(shortcut, share):  # LeCun's: the stream stays as large as it is
    _, variables = run(shortcut, jnp.ones((1, 400)))
    (kernel,) = jax.tree.leaves(variables)
    assert kernel.var() * 400 == pytest.approx(share, rel=5 * (2 / kernel.size) ** 0.5)
