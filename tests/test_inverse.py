"""Inverses of blocks and stacks: against the closed form of linear ones, and within the bound at every iteration."""

import dataclasses
import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close

from resjax import architectures, squeezing, stochastic_depth
from resjax.config import Untrained
from resjax.errors import UserError
from resjax.probes import blocks, inverse, lipschitz

KEY = jax.random.key(0)


def made(images=(3, 4, 4, 1), **choices):
    """A network's blocks in float64: (network, params, state, x before them, y behind them)."""
    network = architectures.build(Untrained(**{"depth": 8, "width": 6, "norm": "none"} | choices), 3)
    images = jax.random.normal(KEY, images)
    params, state = jax.jit(network.init)(jax.random.key(1), images)
    stem = {"params": params["stem"], **state["stem"]}
    x = network.stem.apply(stem, images.astype(jnp.float64), train=False)
    y, _ = jax.jit(lambda x: blocks.each(network, params, state, x, lambda *block: ()))(x)
    return network, params, state, x, y


def invert(network, params, state, y, **choices):
    return jax.jit(lambda y: inverse.invert(network, params, state, y, **choices))(y)


@pytest.mark.parametrize(
    "choices",
    (
        {"spectral_norm": 0.9},
        {"spectral_norm": 0.9, "connection": "scaled(alpha=1.2,beta=0.3)"},
        pytest.param(
            {"norm": "layer", "connection": "scaled(power=1)", "depth": 34, "survival": "uniform(p=0.5)"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"network": "iresnet", "depth": 10, "spectral_norm": 0.7, "activation": "elu"}, marks=pytest.mark.slow
        ),
    ),
)
def test_the_inverse_of_a_network_gives_back_its_input(choices):
    survival = choices.pop("survival", None)
    network, params, state, x, y = made(**choices)
    if survival:
        gates = stochastic_depth.build(survival, "batch", "test", network.lengths)
        network = dataclasses.replace(network, stochastic_depth=gates)
        y, _ = blocks.each(network, params, state, x, lambda *block: ())
    found = invert(network, params, state, y, newton_steps=0)
    assert found.inverted.all() and not found.newton.any() and found.iterations.max() <= 100
    close(found.x, x, 1e-8)
    constants = np.asarray(jax.jit(lambda x: lipschitz.upper(network, params, state, x, KEY))(x[:1]))
    if (constants < 1).all():
        error = np.linalg.norm((found.x - x).reshape(len(x), -1), axis=-1)
        assert (error <= inverse.total_bound(constants, found.iterations, found.first) + 1e-13).all()


def test_the_blocks_one_by_one_are_the_network():
    network, params, state, x, y = made(network="iresnet", depth=10, width=2)
    images = x[..., :1]
    head = {"params": params["head"], **state["head"]}
    close(network.head.apply(head, y, train=False), network.apply(params, state, images)[0], 1e-5)


def test_squeezing_keeps_the_pixels_of_a_square_together():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    squeezed = np.asarray(squeezing.squeeze(jnp.asarray(x), 2))
    for row, column in np.ndindex(2, 3):
        square = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(2, -1)
        assert (squeezed[:, row, column] == square).all()
    assert (squeezing.spread(jnp.asarray(squeezed), 2) == x).all()


def test_the_inverse_of_a_linear_block_is_its_matrix_inverse():
    network, params, state, _, y = made(activation="identity", branch="dense(layers=1)", depth=3, spectral_norm=0.8)
    kernel = np.asarray(params["stages"][0]["branch"]["Dense_0"]["kernel"][0], np.float64)
    bounded = kernel * min(1, 0.8 / np.linalg.norm(kernel, 2))
    found = invert(network, params, state, y, newton_steps=0)
    close(found.x, np.asarray(y) @ np.linalg.inv(np.eye(6) + bounded), 1e-6)


@functools.partial(jax.jit, static_argnums=3)
def inversions(first, second, x, slope):
    """The error, the iterations done and ‖x¹ − x⁰‖ of inversions of x + second·slope(first·x) cut off ever later."""

    def function(x):
        return x + second @ slope(first @ x)

    y = function(x)
    found = [inverse.fixed_point(function, y, 1e-13, steps)[:2] for steps in (1, 2, 3, 5, 8, 13, 40)]
    distance = jnp.linalg.norm(function(y) - y)
    return [(jnp.linalg.norm(found - x), done, distance) for found, done in found]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 2**31),
    constant=st.floats(0.05, 0.95),
    slope=st.sampled_from((jax.nn.relu, jnp.tanh, jax.nn.elu)),
)
def test_the_bound_holds_at_every_iteration(seed, constant, slope):
    draw, size = np.random.default_rng(seed), 7
    first, second = (draw.normal(size=(size, size)) for _ in range(2))
    first, second = first / np.linalg.norm(first, 2), constant * second / np.linalg.norm(second, 2)
    x = draw.normal(size=size) * draw.choice([0.1, 1, 10])
    for error, done, distance in inversions(first, second, x, slope):
        assert error <= inverse.bound(constant, int(done), distance) + 1e-11 * (1 + np.linalg.norm(x))


def test_newton_is_the_second_attempt_where_the_fixed_point_diverges():
    draw, size = np.random.default_rng(0), 8
    matrix = jnp.asarray(4 * draw.normal(size=(size, size)) / size**0.5)

    def function(x):
        return x + matrix @ x + 0.1 * jnp.tanh(x)

    x = jnp.asarray(draw.normal(size=size))
    _, _, converged = inverse.fixed_point(function, function(x), 1e-10, 100)
    found, solved = inverse.newton(function, function(x), 1e-10, 30)
    assert not converged and solved
    close(found, x, 1e-7)


def test_what_has_no_inverse_is_not_called_inverted():
    network, params, state, _, y = made(connection="plain", width=12)
    found = invert(network, params, state, y)
    assert found.newton.any() and not found.inverted.all()
    again, _ = blocks.each(network, params, state, found.x, lambda *block: ())
    assert (~found.inverted).any(0).all() and not np.allclose(again, y)


def test_the_bound_needs_a_constant_below_one():
    with pytest.raises(UserError, match=r"Lipschitz constant 1\.5: an inverse is promised only below 1"):
        inverse.bound(1.5, 3, 1.0)


@pytest.mark.parametrize(
    ("choices", "says"),
    (
        ({"network": "preact", "depth": 20}, "block 3 changes the shape of the stream, which cannot be inverted"),
        ({"order": "post"}, "--order=post: what stands behind the addition has no inverse; use pre"),
    ),
)
def test_networks_without_an_inverse(choices, says):
    with pytest.raises(UserError, match=says):
        inverse.check(architectures.build(Untrained(**{"depth": 8} | choices), 3))
