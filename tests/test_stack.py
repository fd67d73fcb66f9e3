import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, layer, stack
from jax import checkpoint_policies

from resjax import nn
from resjax.layers import Layers
from resjax.nn import initializers
from resjax.stack import Stack

NORMS = (nn.NoNorm(), nn.BatchNorm(), nn.LayerNorm(), nn.RMSNorm())
POLICIES = (None, checkpoint_policies.nothing_saveable, checkpoint_policies.dots_saveable)


def loop(built, params, state, x, *, train, blocks=None, layers=Layers()):
    """The stack as a Python loop over its blocks: (y, {block: its new state}, streams before each block)."""
    new_state = {}
    streams = []
    for at, block in enumerate(range(built.length) if blocks is None else blocks):
        streams.append(x)
        variables = {"params": layer(params, block), **layer(state, block)}
        scale = None if layers.branch_scale is None else layers.branch_scale[block]
        place = nn.Place(at + 1, built.length)
        (x, _), new_state[block] = built.blocks[0].apply(
            variables, x, place, scale, train=train, mutable=list(state[0])
        )
    return x, new_state, streams


@pytest.mark.parametrize("norm", NORMS, ids=repr)
@pytest.mark.parametrize("order", (nn.PRE, nn.POST), ids=("pre", "post"))
@pytest.mark.parametrize("train", (True, False))
def test_scan_is_a_loop(norm, order, train):
    built, params, state, x = stack(norm=norm, order=order)
    y, new_state, _ = built.apply(params, state, x, train=train)
    expected, states, _ = loop(built, params, state, x, train=train)
    close(y, expected)
    for block in range(built.length):
        close(layer(new_state, block), states[block])


@pytest.mark.parametrize("remat", POLICIES)
@pytest.mark.parametrize("norm", NORMS, ids=repr)
def test_gradients_of_scan_are_those_of_a_loop(norm, remat):
    built, params, state, x = stack(norm=norm, remat=remat)
    direction = jax.random.normal(jax.random.key(9), x.shape, x.dtype)

    def scanned(params, x):
        return (built.apply(params, state, x, train=True)[0] * direction).sum()

    def looped(params, x):
        return (loop(built, params, state, x, train=True)[0] * direction).sum()

    close(jax.grad(scanned, (0, 1))(params, x), jax.grad(looped, (0, 1))(params, x), 1e-10)


def test_batch_statistics_move_by_the_textbook_rule():
    built, params, state, x = stack(length=1, branch=nn.Dense(layers=1))
    _, new_state, _ = built.apply(params, state, x, train=True)
    before, after = (s[0]["batch_stats"]["branch"]["BatchNorm_0"]["norm"] for s in (state, new_state))
    close(after["mean"][0], 0.9 * before["mean"][0] + 0.1 * x.mean(0))
    close(after["var"][0], 0.9 * before["var"][0] + 0.1 * x.var(0))


@pytest.mark.parametrize("connection", (nn.Residual(), nn.Plain(), nn.Scaled(alpha=1.0, beta=0.3)), ids=repr)
@pytest.mark.parametrize("left_out", (0, 1, 2))
def test_a_block_left_out_is_a_block_that_is_not_there(connection, left_out):
    built, params, state, x = stack(connection=connection)
    keep = jnp.arange(3) != left_out
    y, new_state, _ = built.apply(params, state, x, Layers(keep=keep), train=True)
    others = [block for block in range(3) if block != left_out]
    expected, _, _ = loop(built, params, state, x, train=True, blocks=others)
    close(y, expected)
    close(layer(new_state, left_out), layer(state, left_out), 0)


def test_all_blocks_left_out_is_the_identity():
    built, params, state, x = stack(connection=nn.Plain())
    close(built.apply(params, state, x, Layers(keep=jnp.zeros(3, bool)))[0], x, 0)


def test_all_blocks_kept_is_the_full_stack():
    built, params, state, x = stack()
    close(built.apply(params, state, x, Layers(keep=jnp.ones(3, bool)))[0], built.apply(params, state, x)[0])


def test_the_parameters_of_a_block_left_out_get_no_gradient():
    built, params, state, x = stack()
    keep = jnp.array([True, False, True])
    gradient = jax.grad(lambda params: built.apply(params, state, x, Layers(keep=keep), train=True)[0].sum())(params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(layer(gradient, 1)))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(layer(gradient, 0)))


def test_branch_scale_is_a_factor_on_the_branch():
    built, params, state, x = stack(norm=nn.NoNorm())
    scale = jnp.array([0.5, 1.0, 0.25])
    expected = x
    for block in range(3):
        f = loop(built, params, state, expected, train=False, blocks=[block])[0] - expected
        expected = expected + scale[block] * f
    close(built.apply(params, state, x, Layers(branch_scale=scale))[0], expected)


def test_order_moves_blocks_with_all_that_is_their_own():
    built, params, state, x = stack()
    scale = jnp.array([0.5, 1.0, 0.25])
    layers = Layers(order=jnp.array([2, 0, 1]), branch_scale=scale, keep=jnp.array([True, False, True]))
    y, new_state, _ = built.apply(params, state, x, layers, train=True)
    expected, states, _ = loop(built, params, state, x, train=True, blocks=[2, 0], layers=layers)
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


def test_what_a_probe_sees_of_a_block_is_the_block_where_it_stands():
    built, params, state, x = stack(connection=nn.Scaled(power=0.5))
    layers = Layers(order=jnp.array([2, 0, 1]), branch_scale=jnp.array([0.5, 1.0, 0.25]))
    _, _, seen = built.apply(
        params, state, x, layers, probe=lambda seen: (seen.at(seen.x), seen.y, seen.at.place.block)
    )
    close(seen[0], seen[1])
    assert seen[2].tolist() == [1, 2, 3]


class Noisy(nn.Branch):
    @linen.compact
    def __call__(self, x, train: bool):
        return linen.Dropout(0.5, deterministic=not train)(x)


def test_every_block_draws_with_its_own_key():
    built, params, state, x = stack(branch=Noisy())
    key = jax.random.key(5)
    _, _, seen = built.apply(params, state, x, Layers(key=key), train=True, probe=lambda seen: seen.f / seen.x)
    masks = [
        built.blocks[0].apply({}, jnp.ones_like(x), nn.Place(1, 3), train=True, rngs={"dropout": key})[1]
        for key in jax.random.split(key, built.length)
    ]
    close(seen, jnp.stack(masks))
    assert not np.array_equal(masks[0], masks[1])


def test_a_residual_stack_with_zero_branches_is_the_identity():
    built, params, state, x = stack(initializer=initializers.zeros())
    params = jax.tree.map(jnp.zeros_like, params)
    close(built.apply(params, state, x)[0], x, 0)


def test_the_gradient_through_a_block_has_the_direct_path():
    built, params, state, x = stack(length=1, norm=nn.LayerNorm())
    x = x[:1]
    g = jax.random.normal(jax.random.key(4), (5,), x.dtype)

    def branch(x):
        return built.apply(params, state, x[None], probe=lambda seen: seen.f)[2][0, 0]

    jacobian = jax.jacfwd(branch)(x[0])  # D D, ∂F/∂x
    gradient = jax.grad(lambda x: built.apply(params, state, x)[0][0] @ g)(x)
    close(gradient[0], g @ (np.eye(5) + jacobian))


def test_the_program_does_not_grow_with_depth():
    def lines(length):
        built, params, state, x = stack(length=length, remat=checkpoint_policies.nothing_saveable)
        step = jax.grad(lambda params: built.apply(params, state, x, train=True)[0].sum())
        return jax.jit(step).lower(params).as_text().count("\n")

    assert lines(2) == lines(50)


@pytest.mark.parametrize(("kinds", "length"), ((1, 0), (2, 3), (3, 4)))
def test_a_length_that_is_no_multiple_of_the_kinds_is_refused(kinds, length):
    with pytest.raises(ValueError, match=f"length {length}: must be a multiple of {kinds}"):
        Stack((nn.Block(nn.Dense(), nn.Residual()),) * kinds, length)


def test_equal_stacks_are_equal():
    first, again = (Stack(nn.Block(nn.Dense(), nn.Scaled(power=0.5)), 4) for _ in range(2))
    assert first == again and hash(first) == hash(again)
