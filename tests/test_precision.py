"""In which precision a network computes: integers are tokens, logits are floating point."""

import dataclasses

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close

from resjax import models, nn, transformers

IMAGES = jax.random.normal(jax.random.key(0), (6, 4, 4, 1))  # B H W C


class Embedding(linen.Module):
    """Tokens B N to the stream, B D: the sum of their vectors."""

    @linen.compact
    def __call__(self, x, train: bool):
        return linen.Embed(7, 5)(x).sum(1)


def tokens(dtype=None):
    network = models.dense(6, 5, classes=3, norm=nn.LayerNorm())
    network = dataclasses.replace(network, stem=Embedding(), dtype=dtype)
    x = jnp.array([[1, 2, 3], [4, 5, 6]], jnp.int32)
    return network, *network.init(jax.random.key(0), x), x


@pytest.mark.parametrize("dtype", (None, jnp.bfloat16))
def test_integer_inputs_are_not_cast_and_give_floating_logits(dtype):
    network, params, state, x = tokens(dtype)
    assert network.apply(params, state, x)[0].dtype == jnp.float32
    table = params["stem"]["Embed_0"]["embedding"]
    moved = params | {"stem": {"Embed_0": {"embedding": table.at[0].add(1)}}}  # of a token that is not there
    close(network.apply(params, state, x)[0], network.apply(moved, state, x)[0], 0)
    assert not np.allclose(network.apply(params, state, x)[0], network.apply(params, state, x[::-1])[0])


def test_integer_inputs_have_gradients_towards_all_that_they_reach():
    network, params, state, x = tokens()

    def loss(params):
        return -jax.nn.log_softmax(network.apply(params, state, x, train=True)[0])[:, 0].sum()

    slopes = jax.grad(loss)(params)
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(slopes))
    rows = (slopes["stem"]["Embed_0"]["embedding"] != 0).any(1)
    assert np.flatnonzero(rows).tolist() == np.unique(x).tolist()


@pytest.mark.parametrize("model", (models.dense, models.resnet))
def test_integer_inputs_are_refused_where_weights_would_be_integers_too(model):
    with pytest.raises(TypeError, match="inputs are uint8: make images floating point"):
        model(8, norm=nn.NoNorm()).init(jax.random.key(0), IMAGES.astype(jnp.uint8))


MIXED = {"dtype": jnp.bfloat16, "stream": jnp.float32}
ROUNDED = {"stream": None}


def test_a_stream_of_float32_is_not_rounded_where_branches_compute_in_bfloat16():
    network = models.dense(8, 8, norm=nn.NoNorm(), **MIXED)
    params, state = network.init(jax.random.key(1), IMAGES)
    _, _, seen = network.apply(params, state, IMAGES, probe=lambda seen: (seen.x, seen.f, seen.y))
    x, f, y = seen
    assert (x.dtype, f.dtype, y.dtype) == (jnp.float32,) * 3
    np.testing.assert_array_equal(x + f, y)
    np.testing.assert_array_equal(f, f.astype(jnp.bfloat16).astype(jnp.float32))


@pytest.mark.parametrize(
    ("model", "depth"),
    ((models.dense, 8), pytest.param(models.resnet, 8, marks=pytest.mark.slow), (transformers.vit, 10)),
)
def test_small_branches_lose_less_in_a_stream_of_float32_than_in_one_of_bfloat16(model, depth):
    parts = {"width": 8, "norm": nn.NoNorm(), "connection": nn.Scaled(beta=0.1)}
    exact, mixed, rounded = (model(depth, **parts, **own) for own in ({}, MIXED, MIXED | ROUNDED))
    params, state = jax.jit(exact.init)(jax.random.key(1), IMAGES)
    wanted, found, coarse = (network.apply(params, state, IMAGES)[0] for network in (exact, mixed, rounded))
    assert 0 < jnp.linalg.norm(found - wanted) < jnp.linalg.norm(coarse - wanted)


@pytest.mark.parametrize("inputs", (jnp.float32, jnp.float64))
def test_logits_are_in_the_precision_of_the_inputs(inputs):
    network = models.dense(6, 5, dtype=jnp.bfloat16)
    params, state = network.init(jax.random.key(0), IMAGES)
    logits, _, stream = network.apply(params, state, IMAGES.astype(inputs), probe=lambda seen: seen.y)
    assert (logits.dtype, stream.dtype) == (inputs, jnp.bfloat16)
