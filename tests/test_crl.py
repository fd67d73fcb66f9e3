"""The branch of 1000-layer reinforcement learning, written out in NumPy."""

import jax
import numpy as np
from helpers import close, double

from resjax import models, nn


def test_a_network_of_crl_branches_written_out():
    network = models.dense(10, width=6, branch=nn.crl(), norm=nn.BatchNorm(), order=nn.PRE, activation=np.tanh)
    x = jax.random.normal(jax.random.key(0), (5, 6), "float64")
    (stack,) = network.stages
    params, state = double(stack.init(jax.random.key(1), x))
    (blocks,) = params
    assert network.depth == 10 and stack.length == 2
    expected = np.asarray(x)
    for block in range(2):
        f = expected
        for layer in range(4):
            dense = blocks["branch"][f"Dense_{layer}"]
            f = f @ np.asarray(dense["kernel"][block]) + np.asarray(dense["bias"][block])
            f = (f - f.mean(-1, keepdims=True)) / np.sqrt(f.var(-1, keepdims=True) + 1e-6)
            f = f / (1 + np.exp(-f))
        expected = expected + f
    close(stack.apply(params, state, x)[0], expected, 1e-10)


def test_its_weights_start_uniform_of_a_third_of_one_over_the_fan_in():
    network = models.dense(6, width=256, branch=nn.crl())
    params, _ = network.init(jax.random.key(0), jax.numpy.zeros((1, 256)))
    leaves = [leaf for leaf in jax.tree.leaves(params["stages"]) if leaf.shape[-2:] == (256, 256)]
    assert len(leaves) == 4
    for leaf in leaves:
        np.testing.assert_allclose(leaf.var() * 256, 1 / 3, rtol=0.03)
        np.testing.assert_allclose(abs(leaf).max() * 16, 1, rtol=1e-3)
