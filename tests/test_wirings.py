"""Streams that mix, branches that know their depth, and kinds of block that take turns: the scan is a loop."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from helpers import close, double, drawn, jitter, layer
from jax import checkpoint_policies
from wirings import ORDERS, STACKS, TwoStreams, block, by_hand

from resjax import nn, stochastic_depth
from resjax.layers import Layers
from resjax.network import Network
from resjax.stack import Stack

WIRINGS = tuple(STACKS)
POLICIES = (None, checkpoint_policies.nothing_saveable, checkpoint_policies.dots_saveable)


def made(wiring):
    """The stack with random float64 parameters, state and input: (stack, params, state, x)."""
    return drawn(STACKS[wiring], (8, 2, 5) if wiring == "streams" else (8, 5))


def lesioned(wiring):
    """A permutation, a block left out, and a scale: all that is by block at once."""
    length = STACKS[wiring].length
    scale = jnp.linspace(0.5, 1.5, length)
    return Layers(keep=jnp.arange(length) != 1, branch_scale=scale, order=jnp.array(ORDERS[wiring]))


def agree(wiring, layers, train):
    """Asserts that the scan is the loop: stream, state by block and what probes see by place."""
    built, params, state, x = made(wiring)

    @jax.jit
    def scanned(layers):
        return built.apply(params, state, x, layers, train=train, probe=lambda seen: (seen.x, seen.f, seen.y))

    y, new_state, seen = scanned(layers)
    expected, states, expected_seen = by_hand(built, params, state, x, layers, train=train)
    close((y, seen), (expected, expected_seen))
    for number in range(built.length):
        close(layer(new_state, number), states[number] if train else layer(state, number))


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("train", (True, False))
def test_scan_is_a_loop(wiring, train):
    agree(wiring, Layers(), train)


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("train", (True, False))
def test_lesions_and_orders_are_those_of_a_loop(wiring, train):
    agree(wiring, lesioned(wiring), train)


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("ordered", (pytest.param(False, marks=pytest.mark.slow), True))
@pytest.mark.parametrize("mode", ("batch", "sample", "subset"))
def test_stochastic_depth_is_that_of_a_loop(wiring, mode, ordered):
    length = STACKS[wiring].length
    depth = stochastic_depth.of([0.6] * length, (length,), mode, "inverted")
    layers = depth.training(Layers(gates=jax.random.key(2)), (length,), 8)
    layers = layers._replace(rows=layers.rows and layers.rows[0], gates=None)
    assert layers.keep is None or 0 < layers.keep.sum() < layers.keep.size
    agree(wiring, layers._replace(order=jnp.array(ORDERS[wiring])) if ordered else layers, train=True)


@pytest.mark.slow
@pytest.mark.parametrize("wiring", WIRINGS)
def test_gradients_are_those_of_a_loop_under_every_remat_policy(wiring):
    built, params, state, x = made(wiring)
    layers = lesioned(wiring)
    direction = jax.random.normal(jax.random.key(9), x.shape, x.dtype)

    @partial(jax.jit, static_argnums=0)
    def gradients(run, params, x):
        return jax.grad(lambda params, x: (run(params, state, x, layers, train=True)[0] * direction).sum(), (0, 1))(
            params, x
        )

    expected = gradients(partial(by_hand, built), params, x)
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(expected))
    for policy in POLICIES:
        close(gradients(dataclasses.replace(built, remat=policy).apply, params, x), expected, 1e-11)


@jax.custom_vjp
def tapped(x, tap):
    """A fork whose tap gets what comes back: the mean squares past the branch and through it."""
    return x, x


def parted(_, gradients):
    branch, direct = gradients
    return branch + direct, jnp.stack([(direct**2).mean(), (branch**2).mean()])


tapped.defvjp(lambda x, tap: ((x, x), None), parted)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_what_comes_back_past_a_branch_and_through_it_is_that_of_a_loop(wiring):
    built, params, state, x = made(wiring)
    order = jnp.array(ORDERS[wiring])
    direction = jax.random.normal(jax.random.key(9), x.shape, x.dtype)

    @jax.jit
    @jax.grad
    def scanned(taps):
        layers = Layers(order=order, grad_tap=taps)
        return (built.apply(params, state, x, layers, train=True, fork=tapped)[0] * direction).sum()

    @jax.jit
    @jax.grad
    def looped(moves):  # L 2 B … D, what is added to the stream on either way
        forks = [lambda x, move=move: (x + move[1], x + move[0]) for move in moves]
        return (by_hand(built, params, state, x, Layers(order=order), forks=forks)[0] * direction).sum()

    ways = looped(jnp.zeros((built.length, 2, *x.shape)))
    close(scanned(jnp.zeros((built.length, 2))), (ways**2).mean(range(2, ways.ndim)), 1e-11)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_network_widens_once_counts_its_blocks_through_and_narrows_once(wiring):
    pieces = [dataclasses.replace(STACKS[wiring], length=length) for length in (2, 4)]
    network = Network(nn.DenseStem(width=5), pieces, nn.Head(classes=3))
    images = jax.random.normal(jax.random.key(1), (8, 2, 2, 1), jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(0), images)
    params = jitter(double(params), 2)
    state = jitter(double(state), 3)
    x = network.stem.apply({"params": params["stem"]}, images, train=True)  # B D
    x = jnp.stack([x, x], 1) if wiring == "streams" else x
    for at, piece in enumerate(pieces):
        weights = params["stages"][at], state["stages"][at]
        x, _, _ = by_hand(piece, *weights, x, first=2 * at, total=6)
    x = x[:, 0] + x[:, 1] if wiring == "streams" else x
    logits = network.head.apply({"params": params["head"]}, x, train=True)
    close(network.apply(params, state, images, train=True)[0], logits)


def test_each_block_of_a_period_starts_with_its_own_key():
    built = STACKS["period"]
    x = jnp.ones((8, 5))
    params, state = built.init(jax.random.key(0), x)
    for number, key in enumerate(jax.random.split(jax.random.key(0), 6)):
        started = dict(built.blocks[number % 2].init(key, x, nn.Place(number + 1, 6), train=False))
        close((layer(params, number), layer(state, number)), (started.pop("params"), started), 1e-6)


def test_a_block_of_two_streams_is_its_formula():
    built = Stack(block(TwoStreams(), norm=nn.NoNorm()), 1)
    _, params, state, x = drawn(built, (8, 2, 5))
    own = layer(params, 0)
    f = jnp.maximum(x[:, 0], 0) @ own["branch"]["Dense_0"]["kernel"] + own["branch"]["Dense_0"]["bias"]
    mixing = own["connection"]["mixing"]
    mixed = jnp.stack([row[0] * x[:, 0] + row[1] * x[:, 1] for row in mixing], 1)
    close(built.apply(params, state, x)[0], mixed + f[:, None])
    close(built.apply(params, state, x, Layers(keep=jnp.array([False])))[0], mixed)
