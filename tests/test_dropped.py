"""A block without its branch: what the connection carries remains, and what stands behind the addition happens.

Huang et al. 2016 (arXiv 1603.09382), eq. 2: ReLU(b·F(x) + id(x)), for b = 0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import batch_normed, close, inside, layer, stack

from resjax import nn
from resjax.layers import Layers
from resjax.nn.order import ORDERS, Order

TWICE = Order(before=("norm",), after=("norm", "activation"))
OWN = {"post_normed": nn.POST._replace(after=("norm", "activation"))}


def opened(x, own, train):
    """(1 − g)x."""
    gate = own["params"]["gate"]
    return x - x / (1 + np.exp(-(x @ gate["kernel"] + gate["bias"])))


def projected(x, own, train):
    """Wx, normalised in the orders that normalise F(x) at its end."""
    own = inside(own, "shortcut")
    y = x @ own["params"]["Dense_0"]["kernel"]
    return batch_normed(y, own, train) if "BatchNorm_0" in own["params"] else y


CARRIED = {  # of x, by a connection with these parameters and this state
    "residual": (nn.Residual(), lambda x, own, train: x),
    "plain": (nn.Plain(), lambda x, own, train: x),
    "scaled": (nn.Scaled(alpha=0.5), lambda x, own, train: 0.5 * x),
    "rezero": (nn.ReZero(), lambda x, own, train: x),
    "shortcut_gate": (nn.ShortcutGate(bias=0), opened),
    "exclusive_gate": (nn.ExclusiveGate(bias=0), opened),
    "projected": (nn.Projected(), projected),
}
WAYS = {  # in which all of the first block, or its first five examples, are left out
    "batch": Layers(keep=jnp.array([False])),
    "sample": Layers(keep=jnp.arange(8)[None] >= 5),
    "rows": Layers(rows=jnp.array([[5, 6, 7]])),
}


def first(params, state):
    """The parameters and the state of a stack's first block."""
    return {"params": layer(params, 0), **layer(state, 0)}


def by_hand(built, params, state, x, carried, train):
    """What is left of the first block, written out."""
    own = first(params, state)
    y = carried(np.asarray(x), inside(own, "connection"), train)
    steps = built.blocks[0].after.order.after
    y = batch_normed(y, inside(own, "after"), train) if "norm" in steps else y
    return np.maximum(y, 0) if "activation" in steps else y


@pytest.mark.parametrize("train", (True, False))
@pytest.mark.parametrize(
    ("order", "connection"),
    [("pre", name) for name in CARRIED]
    + [(order, name) for order in ("post", "norm_after_addition", "post_normed") for name in ("scaled", "projected")],
)
def test_a_block_left_out_is_what_is_carried_and_what_stands_behind_the_addition(order, connection, train):
    connection, carried = CARRIED[connection]
    built, params, state, x = stack(
        length=1, connection=connection, order=(ORDERS | OWN)[order], branch=nn.Dense(layers=1)
    )
    expected = by_hand(built, params, state, x, carried, train)
    run = jax.jit(lambda layers: built.apply(params, state, x, layers, train=train)[0])
    for way, layers in WAYS.items():
        dropped = slice(None) if way == "batch" else slice(5)
        close(run(layers)[dropped], expected[dropped])


def test_the_branchs_statistics_stay_and_those_behind_the_addition_move():
    built, params, state, x = stack(order=TWICE)
    _, moved, _ = built.apply(params, state, x, Layers(keep=jnp.array([True, False, True])), train=True)
    for at in range(3):
        new, old = (layer(tree, at)["batch_stats"] for tree in (moved, state))
        same = jax.tree.map(lambda new, old: bool((new == old).all()), new, old)
        assert set(jax.tree.leaves(same["branch"])) == {at == 1}
        assert not any(jax.tree.leaves(same["after"]))


def test_what_moves_behind_the_addition_is_the_textbook_rule_for_what_is_carried():
    built, params, state, x = stack(length=1, order=TWICE, connection=nn.Scaled(alpha=0.5))
    _, moved, _ = built.apply(params, state, x, Layers(keep=jnp.array([False])), train=True)
    new, old = (layer(tree, 0)["batch_stats"]["after"]["BatchNorm_0"]["norm"] for tree in (moved, state))
    close(new["mean"], 0.9 * old["mean"] + 0.1 * (x / 2).mean(0))
    close(new["var"], 0.9 * old["var"] + 0.1 * (x / 2).var(0))


def test_the_connection_of_a_block_left_out_still_learns_and_its_branch_does_not():
    built, params, state, x = stack(length=1, connection=nn.ShortcutGate(bias=0))
    layers = Layers(keep=jnp.array([False]))
    (slopes,) = jax.grad(lambda params: built.apply(params, state, x, layers, train=True)[0].sum())(params)
    assert all((leaf != 0).all() for leaf in jax.tree.leaves(slopes["connection"]))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slopes["branch"]))


@pytest.mark.parametrize("connection", [name for name in CARRIED if name != "plain"])
def test_evaluation_is_the_mean_of_training_over_the_gates(connection):
    connection, _ = CARRIED[connection]
    built, params, state, x = stack(length=1, connection=connection, norm=nn.LayerNorm())

    @jax.jit
    def run(keep):
        return built.apply(params, state, x, Layers(keep=keep), train=True)[0]

    p = 0.3
    mean = p * run(jnp.array([True])) + (1 - p) * run(jnp.array([False]))
    close(built.apply(params, state, x, Layers(branch_scale=jnp.array([p])))[0], mean)
