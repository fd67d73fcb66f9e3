"""Blocks that share one set of weights: a loop over one block, its gradient the sum over its turns, and its growth."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from helpers import close, drawn, layer
from scipy.special import i0

from resjax import models, nn, theory, transformers
from resjax.lab import wide_limit
from resjax.lab.trial import Start
from resjax.layers import Layers
from resjax.parts import Parts
from resjax.probes import blocks
from resjax.probes.backward import read
from resjax.stack import Stack

LENGTH = 4


def made():
    """A tied stack with random float64 parameters: (stack, params, state, x)."""
    parts = Parts(norm=nn.BatchNorm())
    built = Stack(nn.Block(parts.inner, nn.Residual(), parts.pointwise("after")), LENGTH, tied=True)
    return drawn(built)


@pytest.mark.parametrize("train", (False, True))
def test_it_is_a_loop_over_one_block_with_statistics_of_each_turn(train):
    built, params, state, x = made()
    y, new_state, _ = built.apply(params, state, x, train=train)
    assert {len(leaf) for leaf in jax.tree.leaves(params)} == {1}
    (block,) = built.blocks
    for turn in range(LENGTH):
        own = layer(state, turn)
        variables = {"params": layer(params, 0), **own}
        moving = list(own) if train else []
        (x, _), moved = block.apply(variables, x, built.place(turn + 1), train=train, mutable=moving)
        if train:
            close(layer(new_state, turn), dict(moved))
    close(y, x)


def test_its_gradient_is_the_sum_over_the_turns():
    built, params, state, x = made()

    def loss(params):
        return (built.apply(params, state, x, train=True)[0] ** 3).sum()

    whole = jax.grad(loss)(params)
    apart = jax.grad(loss)(built.unrolled(params))
    close(whole, jax.tree.map(lambda leaf: leaf.sum(0, keepdims=True), apart), 1e-9)


def test_lesions_and_orders_are_those_of_blocks_with_equal_weights():
    built, params, state, x = made()
    apart = Stack(built.blocks, LENGTH)
    layers = Layers(keep=jnp.arange(LENGTH) != 1, order=jnp.array([2, 0, 3, 1]))
    found = built.apply(params, state, x, layers)
    close(found, apart.apply(built.unrolled(params), state, x, layers))


@pytest.mark.parametrize(
    ("model", "shape"),
    ((models.dense, (2, 4, 4, 1)), (models.preact, (2, 8, 8, 1)), (transformers.vit, (2, 8, 8, 1))),
)
def test_the_weights_of_a_stage_are_those_of_its_first_block_however_deep(model, shape):
    counts = []
    for depth in (14, 26):
        network = model(depth, width=4, looped=True)
        params, _ = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, "float32"))
        counts.append(sum(leaf.size for leaf in jax.tree.leaves(params)))
    assert counts[0] == counts[1]


def test_probes_tell_the_turns_apart():
    network = models.dense(10, width=5, looped=True, norm=nn.NoNorm())
    x = jax.random.normal(jax.random.key(0), (6, 2, 2, 1))
    params, state = network.init(jax.random.key(1), x)
    norms = read(network, params, state, x, lambda logits: logits.sum())["parameter_gradient_norm"]
    assert norms.shape == (4,) and len(set(norms.tolist())) == 4
    (stage, own), *_ = blocks.by_stage(network, params, state)
    assert {len(leaf) for leaf in jax.tree.leaves(own[0][0])} == {4} and stage.tied


@pytest.mark.parametrize(("power", "length"), ((1.0, 16), (0.5, 16), (0.0, 6)))
def test_linear_streams_grow_as_the_formula_says(power, length):
    """Width 400 against the limit: a mean over inputs and three draws."""
    width = 400
    network = models.dense(
        2 + 2 * length, width=width, looped=True, norm=nn.NoNorm(), activation=lambda x: x,
        initializer=jax.nn.initializers.lecun_normal(), connection=nn.Scaled(power=power, beta=0.5),
    )  # fmt: skip
    squares = []
    for seed in range(3):
        x = jax.random.normal(jax.random.key(seed), (16, width))
        params, state = jax.jit(network.init)(jax.random.key(10 + seed), x)
        seen = blocks.run(network, params, state, x, lambda trace: (trace.y**2).mean())[1]
        squares.append(np.asarray(seen) / float((x**2).mean()))
    expected = theory.looped_squares(0.5 * length**-power, length)
    np.testing.assert_allclose(np.mean(squares, 0), expected[1:], rtol=0.1)


@pytest.mark.parametrize("activation", ("identity", "relu"))
def test_the_dashed_line_of_looped_blocks_is_the_formulas_where_they_are_linear(activation):
    own = {"connection": "scaled(power=1)", "norm": "none", "initializer": "lecun_normal", "depth": 22}
    family = pd.DataFrame([own | {"layer": layer, "activation_mean_square": 3.0} for layer in range(1, 11)])
    options = Start(**own, activation=activation, looped=True, inputs=(8, 8, 1))
    found = wide_limit.line(options, family, "activation_mean_square")
    if activation == "relu":
        assert found is None
    else:
        squares = [sum(math.comb(turns, k) ** 2 / 10 ** (2 * k) for k in range(turns + 1)) for turns in range(10)]
        close(found, 3 * np.array(squares), 1e-12)


def test_the_formula_at_its_ends():
    close(theory.looped_squares(0.0, 3), np.ones(4))
    close(theory.looped_squares(1.0, 3), np.array([math.comb(2 * blocks, blocks) for blocks in range(4)]), 1e-12)
    np.testing.assert_allclose(theory.looped_squares(1e-3, 1000)[-1], i0(2), rtol=1e-3)
