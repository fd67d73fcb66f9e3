"""In which precision a network computes: integers are tokens, logits are floating point."""

import dataclasses

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close

from resjax import models, nn

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


@pytest.mark.parametrize("inputs", (jnp.float32, jnp.float64))
def test_logits_are_in_the_precision_of_the_inputs(inputs):
    network = models.dense(6, 5, dtype=jnp.bfloat16)
    params, state = network.init(jax.random.key(0), IMAGES)
    logits, _, stream = network.apply(params, state, IMAGES.astype(inputs), probe=lambda seen: seen.y)
    assert (logits.dtype, stream.dtype) == (inputs, jnp.bfloat16)
