"""Probes of the way back, against gradients taken block by block, in float64."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, jitter, layer

from resjax import models, nn
from resjax.layers import Layers
from resjax.nn.place import Place
from resjax.probes import backward, forks, forward, gradients
from resjax.random_streams import stream

LOSS = backward.readout(jax.random.key(7))


def made(model=models.dense, depth=8, size=1, **choices):
    network = model(depth, classes=3, **{"width": 6} | choices)
    x = forward.pairs(jax.random.key(0), 4, (size, size, 5), 0.5, jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(1), x)
    return network, jitter(double(params), 2), jitter(double(state), 3), x


def walk(network, params, state, x):
    """Streams, blocks as functions of their stream, and the rest of the network as one of the last stream."""
    (stack,) = network.stages
    (own,), (before,) = params["stages"], state["stages"]

    def block(place):
        variables = {"params": layer(own, place), **layer(before, place)}
        here = Place(place + 1, stack.length)
        (kind,) = stack.blocks
        return lambda x, **how: kind.apply(variables, x, here, train=True, mutable=["batch_stats"], **how)[0][0]

    blocks = [block(place) for place in range(stack.length)]
    head = {"params": params["head"], **state["head"]}
    streams = [network.stem.apply({"params": params["stem"]}, x, train=True)]
    for block in blocks:
        streams.append(block(streams[-1]))
    return streams, blocks, lambda y: LOSS(network.head.apply(head, y, train=True, mutable=["batch_stats"])[0])


@pytest.mark.parametrize("connection", (nn.Residual(), pytest.param(nn.ShortcutGate(bias=0.0), marks=pytest.mark.slow)))
def test_gradients_by_layer_and_path_are_those_of_a_loop(connection):
    network, params, state, x = made(connection=connection)
    found = jax.jit(lambda params: backward.read(network, params, state, x, LOSS))(params)
    streams, blocks, rest = walk(network, params, state, x)
    slope = jax.grad(rest)(streams[-1])
    for place in reversed(range(len(blocks))):
        stream, block = streams[place], blocks[place]
        past = partial(block, fork=lambda x: (jax.lax.stop_gradient(x), x))
        through = partial(block, fork=lambda x: (x, jax.lax.stop_gradient(x)))
        direct, branch = (jax.vjp(path, stream)[1](slope)[0] for path in (past, through))
        (slope,) = jax.vjp(block, stream)[1](slope)
        unit = slope / jnp.linalg.norm(slope, axis=1, keepdims=True)
        expected = {
            "gradient_mean_square": (slope**2).mean(),
            "direct_share": (direct**2).sum() / ((direct**2).sum() + (branch**2).sum()),
            "gradient_cosine": (unit[:4] * unit[4:]).sum(1).mean(),
        }
        close({name: found[name][place] for name in expected}, expected, 1e-9)


@pytest.mark.slow
def test_the_gradient_of_a_stream_is_a_finite_difference():
    network, params, state, x = made(norm=nn.LayerNorm())
    found = backward.read(network, params, state, x, LOSS)["gradient_mean_square"]
    streams, blocks, rest = walk(network, params, state, x)

    def loss(y):
        for block in blocks[1:]:
            y = block(y)
        return float(rest(y))

    step, slope = 1e-6, np.zeros_like(streams[1])
    for at in np.ndindex(slope.shape):
        nudge = np.zeros_like(slope)
        nudge[at] = step
        slope[at] = (loss(streams[1] + nudge) - loss(streams[1] - nudge)) / (2 * step)
    assert found[1] == pytest.approx((slope**2).mean(), rel=1e-6)


def test_parameter_gradients_are_measured_block_by_block():
    network, params, state, x = made()
    found = backward.read(network, params, state, x, LOSS)["parameter_gradient_norm"]
    slopes = jax.grad(lambda params: LOSS(network.apply(params, state, x, train=True)[0]))(params)["stages"][0]
    for place in range(network.length):
        leaves = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(layer(slopes, place))]
        assert found[place] == pytest.approx(np.linalg.norm(np.concatenate(leaves)), rel=1e-12)


def test_probes_change_nothing_of_what_they_read():
    network, params, state, x = made()
    tap = jnp.zeros(network.length)
    fork = forks.measuring(lambda direct, branch: forward.mean_square(direct))

    def loss(params, **probes):
        return LOSS(network.apply(params, state, x, Layers(grad_tap=tap), train=True, **probes)[0])

    close(jax.grad(loss)(params), jax.grad(lambda p: loss(p, probe=forward.statistics, fork=fork))(params))


def test_a_dead_block_has_the_direct_path_alone():
    network, params, state, x = made(norm=nn.LayerNorm())
    tap = {name: jnp.zeros(network.length) for name in ("gradient_mean_square", "direct_share", "gradient_cosine")}

    def loss(tap):
        layers = Layers(keep=jnp.array([True, False, True]), grad_tap=tap)
        return LOSS(network.apply(params, state, x, layers, fork=forks.measuring(backward.statistics))[0])

    found = jax.grad(loss)(tap)
    assert found["direct_share"][1] == 1 and found["direct_share"][0] < 1
    assert found["gradient_mean_square"][1] == pytest.approx(float(found["gradient_mean_square"][2]), rel=1e-12)


@pytest.mark.slow
def test_stages_of_images_are_read_too():
    built, params, state, x = made(models.preact, branch=nn.Basic(layers=1), width=8, size=4)
    found = jax.jit(lambda params: backward.read(built, params, state, x, LOSS))(params)
    assert {values.shape for values in found.values()} == {(6,)}
    assert all(np.isfinite(values).all() for values in found.values())


def test_the_program_does_not_grow_with_depth():
    def lines(depth):
        network, params, state, x = made(depth=depth)
        read = jax.jit(lambda params: backward.read(network, params, state, x, LOSS))
        return read.lower(params).as_text().count("\n")

    assert lines(8) == lines(102)


def test_the_norms_of_blocks_that_take_turns_are_by_place():
    network, *_, x = made(norm=nn.LayerNorm())
    stack = network.stages[0]
    (one,) = stack.blocks
    other = one.clone(connection=nn.ReZero())
    network = dataclasses.replace(network, stages=[dataclasses.replace(stack, blocks=(one, other), length=4)])
    params, _ = jax.jit(network.init)(jax.random.key(1), x)
    gradient = jax.tree.map(jnp.ones_like, params)
    sizes = [sum(leaf[0].size for leaf in jax.tree.leaves(tree)) for tree in params["stages"][0]]
    assert sizes[1] == sizes[0] + 1  # ReZero's number
    close(backward.parameter_gradient_norms(network, gradient), np.sqrt(sizes * 2), 1e-6)


@pytest.mark.parametrize("loss", ("readout", "labels", "function"))
def test_the_table_has_a_row_a_block(loss):
    network, params, state, x = made()
    labels = jnp.arange(len(x)) % 3
    given = {"readout": None, "labels": labels, "function": LOSS}[loss]
    table = gradients(network, params, state, x, given, key=jax.random.key(3))
    assert list(table.columns) == ["block", *backward.GRADIENTS]
    assert table["block"].tolist() == [0, 1, 2] and np.isfinite(table.to_numpy()).all()
    if loss == "labels":
        written = lambda logits: -jax.nn.log_softmax(logits)[jnp.arange(len(x)), labels].mean()  # noqa: E731
    elif loss == "function":
        written = LOSS
    else:
        written = backward.readout(stream(jax.random.key(3), "readout"))
    expected = backward.read(network, params, state, x, written)
    for name in backward.GRADIENTS:
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-9)
    odd = gradients(network, params, state, x[:5])
    assert odd["gradient_cosine"].isna().all() and odd["gradient_mean_square"].gt(0).all()
