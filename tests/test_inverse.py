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

from resjax import models, nn, stochastic_depth
from resjax.nn.space_to_depth import depth_to_space, space_to_depth
from resjax.probes import blocks, inverse, inversion, inversion_bounds, lipschitz_bounds, solvers

KEY = jax.random.key(0)


def made(model=models.dense, depth=8, **choices):
    """A network's blocks in float64: (network, params, state, x before them, y behind them)."""
    network = model(depth, classes=3, **{"width": 6, "norm": nn.NoNorm()} | choices)
    images = jax.random.normal(KEY, (3, 4, 4, 1))
    params, state = jax.jit(network.init)(jax.random.key(1), images)
    x = blocks.before(network, params, state, images.astype(jnp.float64))
    y, _ = jax.jit(lambda x: blocks.run(network, params, state, x))(x)
    return network, params, state, x, y


def invert(network, params, state, y, **choices):
    return jax.jit(lambda y: inversion.invert(network, params, state, y, **choices))(y)


@pytest.mark.parametrize(
    "choices",
    (
        {"spectral_norm": 0.9},
        {"spectral_norm": 0.9, "connection": nn.Scaled(alpha=1.2, beta=0.3)},
        pytest.param(
            {"norm": nn.LayerNorm(), "connection": nn.Scaled(power=1.0), "depth": 34, "survival": 0.5},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"model": models.iresnet, "depth": 10, "spectral_norm": 0.7, "activation": jax.nn.elu},
            marks=pytest.mark.slow,
        ),
    ),
)
def test_the_inverse_of_a_network_gives_back_its_input(choices):
    choices = dict(choices)
    survival = choices.pop("survival", None)
    network, params, state, x, y = made(**choices)
    if survival:
        gates = stochastic_depth.of(stochastic_depth.uniform(network.lengths, survival), network.lengths)
        network = dataclasses.replace(network, stochastic_depth=gates)
        y, _ = blocks.run(network, params, state, x)
    found = invert(network, params, state, y, newton_steps=0)
    assert found.inverted.all() and not found.newton.any() and found.iterations.max() <= 100
    close(found.x, x, 1e-8)
    constants = np.asarray(jax.jit(lambda x: lipschitz_bounds.upper(network, params, state, x, KEY))(x[:1]))
    if (constants < 1).all():
        error = np.linalg.norm((found.x - x).reshape(len(x), -1), axis=-1)
        assert (error <= inversion_bounds.total_bound(constants, found.iterations, found.first) + 1e-13).all()


def test_the_blocks_one_by_one_are_the_network():
    network, params, state, x, y = made(models.iresnet, depth=10, width=2)
    images = x[..., :1]
    head = {"params": params["head"], **state["head"]}
    close(network.head.apply(head, y, train=False), network.apply(params, state, images)[0], 1e-5)


def test_squeezing_keeps_the_pixels_of_a_square_together():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    squeezed = np.asarray(space_to_depth(jnp.asarray(x), 2))
    for row, column in np.ndindex(2, 3):
        square = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(2, -1)
        assert (squeezed[:, row, column] == square).all()
    assert (depth_to_space(jnp.asarray(squeezed), 2) == x).all()


def test_the_inverse_of_a_linear_block_is_its_matrix_inverse():
    network, params, state, _, y = made(
        activation=jax.nn.identity, branch=nn.Dense(layers=1), depth=3, spectral_norm=0.8
    )
    kernel = np.asarray(params["stages"][0][0]["branch"]["Dense_0"]["kernel"][0], np.float64)
    bounded = kernel * min(1, 0.8 / np.linalg.norm(kernel, 2))
    found = invert(network, params, state, y, newton_steps=0)
    close(found.x, np.asarray(y) @ np.linalg.inv(np.eye(6) + bounded), 1e-6)


@functools.partial(jax.jit, static_argnums=3)
def inversions(first, second, x, slope):
    """The error, the iterations done and ‖x¹ − x⁰‖ of inversions of x + second·slope(first·x) cut off ever later."""

    def function(x):
        return x + second @ slope(first @ x)

    y = function(x)
    found = [solvers.fixed_point(function, y, 1e-13, steps)[:2] for steps in (1, 2, 3, 5, 8, 13, 40)]
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
        assert error <= inversion_bounds.bound(constant, int(done), distance) + 1e-11 * (1 + np.linalg.norm(x))


def test_newton_is_the_second_attempt_where_the_fixed_point_diverges():
    draw, size = np.random.default_rng(0), 8
    matrix = jnp.asarray(4 * draw.normal(size=(size, size)) / size**0.5)

    def function(x):
        return x + matrix @ x + 0.1 * jnp.tanh(x)

    x = jnp.asarray(draw.normal(size=size))
    _, _, converged = solvers.fixed_point(function, function(x), 1e-10, 100)
    found, solved = solvers.newton(function, function(x), 1e-10, 30)
    assert not converged and solved
    close(found, x, 1e-7)


def test_what_has_no_inverse_is_not_called_inverted():
    network, params, state, _, y = made(connection=nn.Plain(), width=12)
    found = invert(network, params, state, y)
    assert found.newton.any() and not found.inverted.all()
    again, _ = blocks.run(network, params, state, found.x)
    assert (~found.inverted).any(0).all() and not np.allclose(again, y)


def test_the_bound_needs_a_constant_below_one():
    with pytest.raises(ValueError, match=r"Lipschitz constant 1\.5: an inverse is promised only below 1"):
        inversion_bounds.bound(1.5, 3, 1.0)


@pytest.mark.parametrize(
    ("choices", "says"),
    (
        ({"model": models.resnet, "depth": 20}, "block 3 opens a stage, which cannot be inverted"),
        ({"order": nn.POST}, "what stands behind the addition has no inverse; use the order PRE"),
    ),
)
def test_networks_without_an_inverse(choices, says):
    with pytest.raises(ValueError, match=says):
        inversion.check(choices.get("model", models.dense)(choices.get("depth", 8), order=choices.get("order", nn.PRE)))


@pytest.mark.slow
def test_a_stack_of_two_kinds_and_of_several_sizes_is_undone_in_order():
    """Blocks that differ from place to place: an inverse in another order is not theirs."""
    network, *_ = made(models.iresnet, depth=10, width=2, spectral_norm=0.7)
    first, *rest = network.stages
    (one,) = first.blocks
    other = one.clone(connection=nn.Scaled(alpha=1.5, beta=0.5))
    network = dataclasses.replace(network, stages=(dataclasses.replace(first, blocks=(one, other), length=4), *rest))
    images = jax.random.normal(KEY, (2, 4, 4, 1), jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(1), images)
    x = blocks.before(network, params, state, images)
    y, streams = jax.jit(lambda x: blocks.run(network, params, state, x, lambda trace: trace.y.sum()))(x)
    found = invert(network, params, state, y, newton_steps=0)
    assert streams.shape == (6,) and found.iterations.shape == (6, 2) and found.inverted.all()
    close(found.x, x, 1e-9)
    far = (found.first**2).mean(1)  # of 1.5x + …, by 0.5x at the least
    assert far[1] > far[0] and far[3] > far[2]


def test_the_table_has_a_row_a_block():
    network, params, state, *_ = made(depth=8, connection=nn.Scaled(power=1.0))
    table = inverse(network, params, state, jax.random.normal(KEY, (3, 4, 4, 1), jnp.float64))
    assert list(table.columns) == ["block", *inversion.INVERSE] and table["block"].tolist() == [0, 1, 2]
    assert (table["inverted_share"] == 1).all() and (table["residual"] < 1e-10).all()
    with pytest.raises(ValueError, match="has no inverse"):
        inverse(models.dense(8, order=nn.POST), params, state, jnp.ones((3, 4, 4, 1)))
