"""What several tests need."""

import jax
import jax.numpy as jnp
import numpy as np

from resjax import branches, connections
from resjax.signals import Stop
from resjax.stack import Block, Stack


def double(tree):
    """Every floating leaf as float64."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )


def close(left, right, tolerance=1e-12):
    """Asserts that two trees have one structure and agree to a relative tolerance."""
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def stack(length=3, connection="residual", norm="batch", remat="", **choices):
    """A small stack with random float64 parameters, state and input: (stack, params, state, x)."""
    branch = branches.build(choices.pop("branch", "dense"), norm=norm, **choices)
    block = Block(branch, connections.build(connection, length=length))
    built = Stack(block, length, remat)
    x = jax.random.normal(jax.random.key(1), (8, 5), jnp.float64)  # B D
    params, state = jax.jit(built.init)(jax.random.key(0), x)
    return built, jitter(double(params), 2), jitter(double(state), 3), x


def jitter(tree, seed):
    """Moves every leaf a little, upwards, so that no scale is one and no shift is zero."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    moved = [
        leaf + 0.3 * jax.random.uniform(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)
    ]
    return structure.unflatten(moved)


def layer(tree, place):
    """The parameters or the state of one block."""
    return jax.tree.map(lambda leaf: leaf[place], tree)


class StopAt(Stop):
    """Is set after a number of looks at it."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def signal(self):
        self.looks -= 1
        return 15 if self.looks < 0 else 0
