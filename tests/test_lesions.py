"""Lesions: a deleted block is a network built without it, an order a permutation of parameters and state."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, jitter

from resjax import models, nn
from resjax.layers import Layers
from resjax.network import Network
from resjax.probes import deletion, lesion_checks, lesions
from resjax.stack import Stack

apply = jax.jit(Network.apply, static_argnums=0)


def dense(depth=8, **choices):
    """A small network of ten classes."""
    return models.dense(depth, width=4, **choices)


def images(depth=20):
    """One of images: its blocks 3 and 6 change the shape."""
    return models.resnet(depth, width=4)


def weighted(network):
    """Its first two stages with random parameters and state, in float64, and images: (network, params, state, x)."""
    network = dataclasses.replace(network, stages=network.stages[:3])  # the block that changes the shape is a stack
    x = jax.random.normal(jax.random.key(1), (4, 8, 8, 1), jnp.float64)
    params, state = jax.jit(Network.init, static_argnums=0)(network, jax.random.key(0), x)
    return network, jitter(double(params), 2), jitter(double(state), 3), x


def lesioned(network, params, state, x, keep=None, order=None):
    """The logits of a network with a lesion."""
    keep = np.ones(network.length, bool) if keep is None else keep
    order = np.arange(network.length) if order is None else order
    return apply(network, params, state, x, Layers(keep=jnp.asarray(keep), order=jnp.asarray(order)))[0]


def by_stack(network, blocks):
    """Numbers of blocks, in the stack they are in, as numbers there."""
    ends = np.cumsum([stack.length for stack in network.stacks])
    parts = np.split(np.asarray(blocks), np.searchsorted(np.sort(blocks), ends[:-1]))
    return [part - (end - stack.length) for part, end, stack in zip(parts, ends, network.stacks, strict=True)]


def only(network, tree, blocks):
    """Parameters or state of these blocks alone, in this order."""
    chosen = zip(tree["stages"], by_stack(network, blocks), strict=True)
    return tree | {"stages": [jax.tree.map(lambda leaf, at=at: leaf[at], stage) for stage, at in chosen]}


@pytest.mark.parametrize(
    ("built", "block"),
    ((dense(), 0), (dense(), 2), (dense(connection=nn.Plain()), 1), pytest.param(images(), 5, marks=pytest.mark.slow)),
)
def test_a_lesion_is_the_network_built_without_the_block(built, block):
    network, params, state, x = weighted(built)
    rest = np.delete(np.arange(network.length), block)
    sizes = map(len, by_stack(network, rest))
    stages = [dataclasses.replace(stack, length=n) for stack, n in zip(network.stacks, sizes, strict=True)]
    smaller = dataclasses.replace(network, stages=tuple(stages))
    expected, _, _ = apply(smaller, only(network, params, rest), only(network, state, rest), x)
    close(lesioned(network, params, state, x, keep=deletion.deletion(network.length, [block])), expected)


@pytest.mark.parametrize(("built", "order"), ((dense(), [2, 0, 1]), (images(), [2, 0, 1, 3, 5, 4])))
def test_an_order_is_a_permutation_of_parameters_and_state(built, order):
    network, params, state, x = weighted(built)
    lesion_checks.check_order(network, order)
    y = lesioned(network, params, state, x, order=order)
    close(y, lesioned(network, only(network, params, order), only(network, state, order), x))
    assert not np.allclose(y, lesioned(network, params, state, x))


@pytest.mark.parametrize("network", (dense(30), images(32)))
@pytest.mark.parametrize("count", (1, 3, 11))
def test_random_deletions_delete_so_many_blocks_that_keep_the_shape(network, count):
    keep = deletion.random_deletions(jax.random.key(0), network, count, 8)
    assert keep.shape == (8, network.length) and ((~keep).sum(1) == count).all()
    assert keep[:, np.array(network.transitions)].all() and len(np.unique(keep, axis=0)) > 1
    assert (keep == deletion.random_deletions(jax.random.key(0), network, count, 8)).all()


@pytest.mark.parametrize("network", (dense(30), images(32)))
def test_swaps_stay_in_their_stage_and_one_moves_two_blocks(network):
    for key in jax.random.split(jax.random.key(0), 10):
        one, many = (deletion.swaps(key, network, count) for count in (1, 20))
        lesion_checks.check_order(network, one)
        lesion_checks.check_order(network, many)
        assert (one != np.arange(network.length)).sum() == 2 < (many != np.arange(network.length)).sum()


def test_every_pair_of_a_stage_can_be_swapped():
    assert deletion.pairs(images()).tolist() == [[0, 1], [0, 2], [1, 2], [4, 5], [7, 8]]


def test_blocks_that_take_turns_change_places_with_their_own_kind():
    (stack,) = dense().stages
    (one,) = stack.blocks
    turns = Stack((one, one.clone(connection=nn.ReZero(alpha=0.5))), 6)
    network = dataclasses.replace(dense(), stages=(turns, turns))
    groups = [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]
    assert [group.tolist() for group in lesion_checks.movable(network)] == groups
    lesion_checks.check_order(network, [4, 1, 0, 3, 2, 5, *range(6, 12)])
    with pytest.raises(ValueError, match="block 1 cannot stand at place 0"):
        lesion_checks.check_order(network, [1, 0, *range(2, 12)])


@pytest.mark.parametrize("length", (2, 5, 27))
def test_kendall_tau_of_a_swap_of_neighbours(length):
    order = [*range(length - 2), length - 1, length - 2]
    assert deletion.kendall_tau(order) == pytest.approx(1 - 4 / (length * (length - 1)))
    assert [deletion.kendall_tau(range(length)[::step]) for step in (1, -1)] == pytest.approx([1, -1])


@pytest.mark.parametrize(
    ("built", "kinds"),
    (
        (dense(), ["none", "delete", "delete", "delete"]),
        (images(14), ["none", *["delete"] * 2, "branch", "delete"]),
        (models.resnet(14, width=4, connection=nn.Plain()), ["none", *["delete"] * 3]),
    ),
)
def test_the_table_is_of_networks_without_each_block(built, kinds):
    network, params, state, x = weighted(built)
    labels = jnp.arange(4)
    table = lesions(network, params, state, x, labels)
    assert table["kind"].tolist() == kinds and list(table.columns) == ["kind", "block", "loss", "accuracy"]
    for kind, block, loss, accuracy in table.itertuples(index=False):
        blocks = [] if kind == "none" else [block]
        logits = lesioned(network, params, state, x, keep=deletion.deletion(network.length, blocks))
        expected = -jax.nn.log_softmax(logits)[labels, labels].mean()
        assert loss == pytest.approx(float(expected), rel=1e-9)
        assert accuracy == (logits.argmax(-1) == labels).mean()
    assert table["loss"].nunique() == len(table)


@pytest.mark.parametrize(
    ("refused", "says"),
    (
        (lambda network: deletion.random_deletions(jax.random.key(0), network, 8, 1), "the network has 7 blocks"),
        (lambda network: lesion_checks.check_block(network, 9), "the network has blocks 0 to 8"),
        (lambda network: lesion_checks.check_block(network, 3), "cannot be deleted; those that can are 0–2, 4–5, 7–8"),
        (lambda network: lesion_checks.check_order(network, [0, 1, 1, 3, 4, 5, 6, 7, 8]), "is no permutation of the"),
        (lambda network: lesion_checks.check_order(network, range(8)), "is no permutation of the blocks 0 to 8"),
        (lambda network: lesion_checks.check_order(network, [0, 1, 4, 3, 2, 5, 6, 7, 8]), "4 cannot stand at place 2"),
        (lambda network: lesion_checks.check_order(network, [0, 1, 2, 4, 3, 5, 6, 7, 8]), "4 cannot stand at place 3"),
        (lambda network: deletion.pairs(images(8)), "no two blocks in one stage"),
    ),
)
def test_lesions_that_cannot_be(refused, says):
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        refused(images())
    assert "\n" not in str(error.value)
