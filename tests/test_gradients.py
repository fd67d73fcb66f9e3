"""Probes of the way back, against gradients taken block by block, in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, jitter, layer

from resjax import architectures
from resjax.config import Untrained
from resjax.probes import gradients, signals
from resjax.stack import Layers

LOSS = gradients.readout(jax.random.key(7))


def made(norm="batch", size=1, **choices):
    network = architectures.build(Untrained(norm=norm, **{"depth": 8, "width": 6} | choices), 3)
    x = signals.pairs(jax.random.key(0), 4, (size, size, 5), 0.5, jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(1), x)
    return network, jitter(double(params), 2), jitter(double(state), 3), x


def walk(network, params, state, x):
    """Streams, blocks as functions of their stream, and the rest of the network as one of the last stream."""
    (stack,) = network.stages
    (own,), (before,) = params["stages"], state["stages"]

    def block(place):
        variables = {"params": layer(own, place), **layer(before, place)}
        return lambda x, **how: stack.block.apply(variables, x, train=True, mutable=["batch_stats"], **how)[0][0]

    blocks = [block(place) for place in range(stack.length)]
    head = {"params": params["head"], **state["head"]}
    streams = [network.stem.apply({"params": params["stem"]}, x, train=True)]
    for block in blocks:
        streams.append(block(streams[-1]))
    return streams, blocks, lambda y: LOSS(network.head.apply(head, y, train=True, mutable=["batch_stats"])[0])


@pytest.mark.parametrize("connection", ("residual", pytest.param("shortcut_gate(bias=0)", marks=pytest.mark.slow)))
def test_gradients_by_layer_and_path_are_those_of_a_loop(connection):
    network, params, state, x = made(connection=connection)
    found = jax.jit(lambda params: gradients.read(network, params, state, x, LOSS))(params)
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
            "gradient_ms": (slope**2).mean(),
            "direct_share": (direct**2).sum() / ((direct**2).sum() + (branch**2).sum()),
            "gradient_cosine": (unit[:4] * unit[4:]).sum(1).mean(),
        }
        close({name: found[name][place] for name in expected}, expected, 1e-9)


@pytest.mark.slow
def test_the_gradient_of_a_stream_is_a_finite_difference():
    network, params, state, x = made(norm="layer")
    found = gradients.read(network, params, state, x, LOSS)["gradient_ms"]
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
    found = gradients.read(network, params, state, x, LOSS)["parameter_gradient_norm"]
    slopes = jax.grad(lambda params: LOSS(network.apply(params, state, x, train=True)[0]))(params)["stages"][0]
    for place in range(network.length):
        leaves = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(layer(slopes, place))]
        assert found[place] == pytest.approx(np.linalg.norm(np.concatenate(leaves)), rel=1e-12)


def test_probes_change_nothing_of_what_they_read():
    network, params, state, x = made()
    sink = jnp.zeros(network.length)
    fork = gradients.fork(lambda direct, branch: signals.mean_square(direct))

    def loss(params, **probes):
        return LOSS(network.apply(params, state, x, Layers(sink=sink), train=True, **probes)[0])

    close(jax.grad(loss)(params), jax.grad(lambda p: loss(p, probe=signals.signals, fork=fork))(params))


def test_a_dead_block_has_the_direct_path_alone():
    network, params, state, x = made(norm="layer")
    sink = {name: jnp.zeros(network.length) for name in ("gradient_ms", "direct_share", "gradient_cosine")}

    def loss(sink):
        layers = Layers(alive=jnp.array([True, False, True]), sink=sink)
        return LOSS(network.apply(params, state, x, layers, fork=gradients.fork(gradients.gradients))[0])

    found = jax.grad(loss)(sink)
    assert found["direct_share"][1] == 1 and found["direct_share"][0] < 1
    assert found["gradient_ms"][1] == pytest.approx(float(found["gradient_ms"][2]), rel=1e-12)


@pytest.mark.slow
def test_stages_of_images_are_read_too():
    built, params, state, x = made(network="preact", depth=8, branch="basic(layers=1)", width=8, size=4)
    found = jax.jit(lambda params: gradients.read(built, params, state, x, LOSS))(params)
    assert {values.shape for values in found.values()} == {(6,)}
    assert all(np.isfinite(values).all() for values in found.values())


def test_the_program_does_not_grow_with_depth():
    def lines(depth):
        network, params, state, x = made(depth=depth)
        read = jax.jit(lambda params: gradients.read(network, params, state, x, LOSS))
        return read.lower(params).as_text().count("\n")

    assert lines(8) == lines(102)
