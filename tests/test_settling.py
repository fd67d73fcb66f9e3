"""Spectral norms bound every layer after training, against the exact singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import resjax as rj
from resjax import settling
from resjax.nn.convolution import convolve

BOUND = 0.99
SIZE = 6  # of the images


def data(shape):
    """Random inputs and labels."""
    draw = np.random.default_rng(0)
    return rj.data.arrays(draw.normal(size=(48, *shape)).astype(np.float32), draw.integers(0, 3, 48), classes=3)


def largest(kernel, vector):
    """The exact largest singular value of the layer that computes with this kernel and this vector of its state."""
    x = jnp.zeros(vector.shape[1:], kernel.dtype)  # H W C
    linear = jax.jacobian(lambda x: convolve(x[None], kernel).ravel())(x)
    matrix = np.asarray(linear).reshape(-1, x.size).T
    estimate = np.linalg.norm(np.asarray(vector).ravel() @ matrix)
    return np.linalg.svd(matrix, compute_uv=False)[0] / max(1, estimate / BOUND)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "shape"),
    ((rj.models.iresnet(10, width=2, classes=3, norm=rj.nn.NoNorm(), spectral_norm=BOUND), (SIZE + 2, SIZE + 2, 1)),),
    ids=("convolutional",),
)
def test_after_training_at_a_high_rate_no_layer_stretches_more_than_the_bound(network, shape):
    tx = optax.sgd(2.0)
    result = rj.fit(network, data(shape), tx, steps=12, batch_size=16, key=jax.random.key(1))
    assert result.diverged is None
    norms = []
    for params, state in zip(result.params["stages"], result.state["stages"], strict=True):
        kernels = {path[:-1]: leaf for path, leaf in leaves(params) if path[-1] == "kernel"}
        vectors = {path[:-2]: leaf for path, leaf in leaves([tree["spectral"] for tree in state])}
        norms += [largest(*own) for at in kernels for own in zip(kernels[at], vectors[at], strict=True)]
    assert len(norms) >= 6 and max(norms) <= BOUND * 1.001


def leaves(tree):
    """The path of every leaf, without the kind of block, as its keys, and the leaf."""
    return [
        (tuple(key.key for key in path if hasattr(key, "key")), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def test_what_is_settled_stays_so_to_the_last_bit():
    network = rj.models.dense(6, width=8, norm=rj.nn.NoNorm(), spectral_norm=0.5)
    x = jnp.zeros((1, 5))
    params, state = jax.jit(network.init)(jax.random.key(0), x)
    once = settling.settled(network, params, state, x)
    twice = settling.settled(network, params, once, x)
    assert all(map(np.array_equal, jax.tree.leaves(once), jax.tree.leaves(twice)))
    assert settling.needed(state) and not settling.needed({"stages": [({},)]})
