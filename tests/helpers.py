"""What several tests need."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from resjax import nn
from resjax.parts import Parts
from resjax.stack import Stack
from resjax.system.interrupts import Stop


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


def stack(length=3, **options):
    """A small stack with random float64 parameters, state and input: (stack, params, state, x).

    The options are fields of `Parts`: branch, connection, norm, order, remat, ….
    """
    parts = Parts(**options)
    block = nn.Block(parts.inner, parts.styled(parts.connection), parts.pointwise("after"))
    return drawn(Stack(block, length, parts.remat))


def drawn(built, shape=(8, 5)):
    """A stack with random float64 parameters, state and input of this shape: (stack, params, state, x)."""
    x = jax.random.normal(jax.random.key(1), shape, jnp.float64)  # B D
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


def layer(tree: Any, place: int):
    """The parameters or the state of one block, of a stack's own (a tuple, a tree a kind of block) or of one kind's."""
    if not isinstance(tree, tuple):
        return jax.tree.map(lambda leaf: leaf[place], tree)
    turn, kind = divmod(place, len(tree))
    return layer(tree[kind], turn)


def inside(own, name):
    """The variables of one of a module's parts, of those of the module: {collection: tree}."""
    return {kind: tree[name] for kind, tree in own.items() if name in tree}


def batch_normed(x, own, train):
    """Batch normalisation of x (… D), by its formula, with these variables of a module that has one: a NumPy array."""
    norm = inside(own, "BatchNorm_0")
    weights = norm["params"]["norm"]
    running = norm["batch_stats"]["norm"]
    axes = tuple(range(x.ndim - 1))
    mean, var = (x.mean(axes), x.var(axes)) if train else (running["mean"], running["var"])
    return np.asarray((x - mean) / np.sqrt(var + 1e-5) * weights["scale"] + weights["bias"])


def same_results(one, other):
    """Whether two results of `train` are equal, but for the times."""
    times = {"first_step_seconds", "step_milliseconds", "total_seconds"}
    results, others = ({name: value for name, value in found.items() if name not in times} for found in (one, other))
    assert times < one.keys() and results == others
    return True


class StopAt(Stop):
    """Is set after a number of looks at it."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def signal(self):
        self.looks -= 1
        return 15 if self.looks < 0 else 0
