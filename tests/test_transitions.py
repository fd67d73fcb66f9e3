"""Blocks that change the shape: what their two ways share, and what is left of them without the branch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import batch_normed, close, drawn, inside, layer

from resjax import nn
from resjax.assembly import transition
from resjax.layers import Layers
from resjax.nn.order import ORDERS
from resjax.parts import Parts
from resjax.stack import Stack


def opening(order, connection=nn.Residual()):  # noqa: B008
    """A block that halves the image and has 5 features for 3, with a projection: (stack, params, state, x)."""
    parts = Parts(branch=nn.Basic(layers=1), order=order)
    return drawn(Stack(transition(parts, connection, 5, 2), 1), (8, 4, 4, 3))


def projected(params, state, x, order, train):
    """Wx of every other pixel, normalised where the order says so, before and behind it."""
    own = {"params": layer(params, 0), **layer(state, 0)}
    x = np.asarray(x)
    if "norm" in order.before:
        x = batch_normed(x, inside(own, "before"), train)
    if "activation" in order.before:
        x = np.maximum(x, 0)
    shortcut = inside(own, "shortcut")
    y = x[:, ::2, ::2] @ shortcut["params"]["Conv_0"]["kernel"][0, 0]
    return batch_normed(y, shortcut, train) if "norm" in order.end else np.asarray(y)


@pytest.mark.parametrize("train", (True, False))
@pytest.mark.parametrize("alpha", (1.0, 0.5))
@pytest.mark.parametrize("order", (nn.PRE, nn.POST), ids=("pre", "post"))
def test_a_block_that_changes_the_shape_adds_the_projection_and_the_branch_if_there_is_one(order, alpha, train):
    built, params, state, x = opening(order, nn.Scaled(alpha=alpha))
    run = jax.jit(lambda keep: built.apply(params, state, x, Layers(keep=keep), train=train, probe=lambda seen: seen.f))
    y, _, (f,) = run(jnp.array([True]))
    around, moved, _ = run(jnp.array([False]))
    skip = alpha * projected(params, state, x, order, train)
    after = (lambda x: np.maximum(x, 0)) if order is nn.POST else (lambda x: x)
    close(y, after(f + skip))
    close(around, after(skip))
    assert (skip < 0).any() and (f != 0).any()
    if not train:
        return
    same = jax.tree.map(lambda new, old: bool((new == old).all()), moved[0]["batch_stats"], state[0]["batch_stats"])
    assert all(jax.tree.leaves(same.pop("branch", True))) and not any(jax.tree.leaves(same))


@pytest.mark.parametrize("order", ORDERS)
def test_in_any_order_a_block_that_changes_the_shape_can_be_left_out_by_example(order):
    built, params, state, x = opening(ORDERS[order])
    keep = jnp.arange(8) >= 5
    run = jax.jit(lambda layers: built.apply(params, state, x, layers)[0])
    y = run(Layers(keep=keep[None]))
    close(y[:5], run(Layers(keep=jnp.array([False])))[:5])
    close(y[5:], run(Layers())[5:])


def test_where_every_skip_is_a_projection_a_block_that_changes_the_shape_has_one_and_not_two():
    parts = Parts(branch=nn.Basic(layers=1), shortcut=nn.Pad(), norm=nn.NoNorm())
    block = transition(parts, nn.Projected(), 5, 2)
    x = jnp.ones((2, 4, 4, 3))
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, nn.Place(1, 1), train=False))["params"]
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == {
        "branch": {"Conv_0": {"kernel": (3, 3, 3, 5)}},
        "shortcut": {"Conv_0": {"kernel": (1, 1, 3, 5)}},
    }
