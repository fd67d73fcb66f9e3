import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, layer, stack

from resjax.parts import Branch
from resjax.stack import Layers

NORMS = ("none", "batch", "layer", "rms")


def loop(built, params, state, x, *, train, places=None, layers=Layers()):
    """The stack as a Python loop over its blocks: (y, {block: its new state}, streams before each block)."""
    new_state, streams = {}, []
    for place in range(built.length) if places is None else places:
        streams.append(x)
        variables = {"params": layer(params, place), **layer(state, place)}
        rate = None if layers.rate is None else layers.rate[place]
        (x, _), new_state[place] = built.block.apply(variables, x, rate, train=train, mutable=list(state))
    return x, new_state, streams


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("order", ("pre", "post"))
@pytest.mark.parametrize("train", (True, False))
def test_scan_is_a_loop(norm, order, train):
    built, params, state, x = stack(norm=norm, order=order)
    y, new_state, _ = built.apply(params, state, x, train=train)
    expected, states, _ = loop(built, params, state, x, train=train)
    close(y, expected)
    for place in range(built.length):
        close(layer(new_state, place), states[place])


@pytest.mark.parametrize("remat", ("", "nothing_saveable", "dots_saveable"))
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_of_scan_are_those_of_a_loop(norm, remat):
    built, params, state, x = stack(norm=norm, remat=remat)
    direction = jax.random.normal(jax.random.key(9), x.shape, x.dtype)

    def scanned(params, x):
        return (built.apply(params, state, x, train=True)[0] * direction).sum()

    def looped(params, x):
        return (loop(built, params, state, x, train=True)[0] * direction).sum()

    close(jax.grad(scanned, (0, 1))(params, x), jax.grad(looped, (0, 1))(params, x), 1e-10)


def test_batch_statistics_move_by_the_textbook_rule():
    built, params, state, x = stack(length=1, norm="batch", branch="dense(layers=1)")
    _, new_state, _ = built.apply(params, state, x, train=True)
    before, after = (s["batch_stats"]["branch"]["BatchNorm_0"]["norm"] for s in (state, new_state))
    close(after["mean"][0], 0.9 * before["mean"][0] + 0.1 * x.mean(0))
    close(after["var"][0], 0.9 * before["var"][0] + 0.1 * x.var(0))


@pytest.mark.parametrize("connection", ("residual", "plain", "scaled(alpha=0.5,beta=0.3)"))
@pytest.mark.parametrize("dead", (0, 1, 2))
def test_a_dead_block_is_a_block_that_is_not_there(connection, dead):
    built, params, state, x = stack(connection=connection)
    alive = jnp.arange(3) != dead
    y, new_state, _ = built.apply(params, state, x, Layers(alive=alive), train=True)
    expected, _, _ = loop(built, params, state, x, train=True, places=[place for place in range(3) if place != dead])
    close(y, expected)
    close(layer(new_state, dead), layer(state, dead), 0)


def test_all_blocks_dead_is_the_identity():
    built, params, state, x = stack(connection="plain")
    close(built.apply(params, state, x, Layers(alive=jnp.zeros(3, bool)))[0], x, 0)


def test_all_blocks_alive_is_the_full_stack():
    built, params, state, x = stack()
    close(built.apply(params, state, x, Layers(alive=jnp.ones(3, bool)))[0], built.apply(params, state, x)[0])


def test_the_parameters_of_a_dead_block_get_no_gradient():
    built, params, state, x = stack()
    alive = jnp.array([True, False, True])
    gradient = jax.grad(lambda params: built.apply(params, state, x, Layers(alive=alive), train=True)[0].sum())(params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(layer(gradient, 1)))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(layer(gradient, 0)))


def test_rate_is_a_factor_on_the_branch():
    built, params, state, x = stack(norm="none")
    rate = jnp.array([0.5, 1.0, 0.25])
    expected = x
    for place in range(3):
        expected = expected + rate[place] * (
            loop(built, params, state, expected, train=False, places=[place])[0] - expected
        )
    close(built.apply(params, state, x, Layers(rate=rate))[0], expected)


def test_order_moves_blocks_with_all_that_is_their_own():
    built, params, state, x = stack()
    order, rate = [2, 0, 1], jnp.array([0.5, 1.0, 0.25])
    layers = Layers(order=jnp.array(order), rate=rate, alive=jnp.array([True, False, True]))
    y, new_state, _ = built.apply(params, state, x, layers, train=True)
    expected, states, _ = loop(built, params, state, x, train=True, places=[2, 0], layers=layers)
    close(y, expected)
    for block in (0, 2):
        close(layer(new_state, block), states[block])
    close(layer(new_state, 1), layer(state, 1), 0)


def test_probe_values_come_back_by_place():
    built, params, state, x = stack()
    y, _, seen = built.apply(params, state, x, probe=lambda seen: {"in": seen.x, "branch": seen.f, "out": seen.y})
    _, _, streams = loop(built, params, state, x, train=False)
    close(seen["in"], jnp.stack(streams))
    close(seen["out"], jnp.stack([*streams[1:], y]))
    close(seen["branch"], seen["out"] - seen["in"])


class Noisy(Branch):
    @nn.compact
    def __call__(self, x, train: bool):
        return nn.Dropout(0.5, deterministic=not train)(x)


def test_every_block_draws_with_its_own_key():
    built, _, _, x = stack(branch="test_stack:Noisy")
    key = jax.random.key(5)
    _, _, seen = built.apply({}, {}, x, Layers(key=key), train=True, probe=lambda seen: seen.f / seen.x)
    masks = [
        built.block.apply({}, jnp.ones_like(x), train=True, rngs={"dropout": key})[1]
        for key in jax.random.split(key, built.length)
    ]
    close(seen, jnp.stack(masks))
    assert not np.array_equal(masks[0], masks[1])


def test_a_residual_stack_with_zero_branches_is_the_identity():
    built, params, state, x = stack(initializer="zeros")
    params = jax.tree.map(jnp.zeros_like, params)
    close(built.apply(params, state, x)[0], x, 0)


def test_the_gradient_through_a_block_has_the_direct_path():
    built, params, state, x = stack(length=1, norm="layer")
    x, g = x[:1], jax.random.normal(jax.random.key(4), (5,), x.dtype)

    def branch(x):
        return built.apply(params, state, x[None], probe=lambda seen: seen.f)[2][0, 0]

    jacobian = jax.jacfwd(branch)(x[0])  # D D, ∂F/∂x
    gradient = jax.grad(lambda x: built.apply(params, state, x)[0][0] @ g)(x)
    close(gradient[0], g @ (np.eye(5) + jacobian))


def test_the_program_does_not_grow_with_depth():
    def lines(length):
        built, params, state, x = stack(length=length, remat="nothing_saveable")
        step = jax.grad(lambda params: built.apply(params, state, x, train=True)[0].sum())
        return jax.jit(step).lower(params).as_text().count("\n")

    assert lines(2) == lines(50)
