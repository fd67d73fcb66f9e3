import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import close, double, jitter, layer, stack
from own_blocks import thirds

from resjax import models, nn, stochastic_depth
from resjax.layers import Layers


def network(schedule, mode="batch", scaling="test", model=models.dense, depth=8, **parts):
    """A small network with random parameters and state, in float64, and images: (network, params, state, x)."""
    built = model(depth, **{"width": 5} | parts)
    gates = stochastic_depth.of(schedule(built.lengths), built.lengths, mode, scaling)
    x = jax.random.normal(jax.random.key(1), (8, 8, 8, 1), jnp.float64)
    params, state = jax.jit(built.init)(jax.random.key(0), x)
    return dataclasses.replace(built, stochastic_depth=gates), jitter(double(params), 2), jitter(double(state), 3), x


def uniform(p):
    return lambda lengths: stochastic_depth.uniform(lengths, p)


def test_the_linear_schedule_is_that_of_the_paper():
    lengths = models.resnet(110).lengths
    p = stochastic_depth.linear(lengths)
    assert lengths == (18, 18, 18) and p[-1] == 0.5
    np.testing.assert_allclose(p, [1 - block / 54 * 0.5 for block in range(1, 55)])
    np.testing.assert_allclose(sum(p), (3 * 54 - 1) / 4)  # 40.25 of 54 blocks


@pytest.mark.parametrize(
    ("schedule", "expected"),
    (
        (uniform(0.7), [0.7] * 6),
        (lambda lengths: stochastic_depth.stage(lengths, number=2, p=0.25), [1, 1, 0.25, 0.25, 1, 1]),
        (thirds, [1 / 3, 2 / 3, 1] * 2),
    ),
)
def test_schedules(schedule, expected):
    lengths = (2, 2, 2)
    np.testing.assert_allclose(stochastic_depth.of(schedule(lengths), lengths).survival, expected)


def test_blocks_that_all_survive_need_no_gates():
    assert stochastic_depth.of([1.0] * 4, (2, 2)) is None


@pytest.mark.parametrize(
    ("survival", "says"),
    (
        ([0.5, 0, 1], r"probability 0 is not in \(0, 1\]"),
        ([0.5, 1.05556, 1], r"probability 1.05556 is not in \(0, 1\]"),
        ([0.5, -0.1, 1], r"probability -0.1 is not in \(0, 1\]"),
        ([0.5, float("nan"), 1], r"probability nan is not in \(0, 1\]"),
        ([0.5] * 6, "gives 6 probabilities for 3 blocks"),
    ),
)
def test_probabilities_that_cannot_be(survival, says):
    with pytest.raises(ValueError, match=says):
        stochastic_depth.of(survival, (3,))


@pytest.mark.parametrize("number", (0, 4))
def test_a_stage_that_is_not_there_is_refused(number):
    with pytest.raises(ValueError, match=f"number={number}: the network has stages 1 to 3"):
        stochastic_depth.stage((2, 2, 2), number)


@pytest.mark.parametrize(("mode", "scaling"), (("batch", "test"), ("sample", "test"), ("subset", "inverted")))
def test_so_many_blocks_survive_on_average(mode, scaling):
    lengths = (10, 10)
    depth = stochastic_depth.of(stochastic_depth.linear(lengths, last=0.2), lengths, mode, scaling)
    trials = 10_000
    batch = 5

    def live(key):
        layers = depth.training(Layers(gates=key), lengths, batch)
        if mode == "subset":
            return sum(rows.size for rows in layers.rows) / batch
        return layers.keep.sum() / (1 if mode == "batch" else batch)

    counts = np.asarray(jax.jit(jax.vmap(live))(jax.random.split(jax.random.key(0), trials)))
    if mode == "subset":  # 3.7 of 5 and 1.7 of 5 examples, in whole examples
        assert np.ptp(counts) == 0 and counts[0] == 10 * 4 / 5 + 10 * 2 / 5
    else:
        assert abs(counts.mean() - sum(depth.survival)) < 3 * counts.std() / trials**0.5


@pytest.mark.parametrize("mode", ("batch", "sample", "subset"))
def test_the_gates_of_a_step_are_those_of_its_key(mode):
    built, params, state, x = network(uniform(0.5), mode)
    run = jax.jit(lambda key: built.apply(params, state, x, Layers(gates=key), train=True)[0])
    first, again, other = (run(jax.random.key(seed)) for seed in (4, 4, 5))
    assert (first == again).all() and not np.allclose(first, other)


@pytest.mark.parametrize("order", (nn.PRE, nn.POST), ids=("pre", "post"))
@pytest.mark.parametrize("each", (False, True))
def test_open_gates_are_the_full_stack_and_closed_ones_the_identity(each, order):
    built, params, state, x = stack(order=order)
    x = jnp.abs(x)  # behind a post-activation block nothing is negative
    shape = (built.length, len(x)) if each else built.length
    run = jax.jit(lambda keep: built.apply(params, state, x, Layers(keep=keep), train=True)[:2])
    opened, opened_state = run(jnp.ones(shape, bool))
    close((opened, opened_state), built.apply(params, state, x, train=True)[:2])
    closed, closed_state = run(jnp.zeros(shape, bool))
    close(closed, x, 0)
    if not each:  # where examples have gates of their own, all is computed, and the statistics are the batch's
        close(closed_state, state, 0)


@pytest.mark.parametrize("connection", (nn.Residual(), nn.Plain()), ids=repr)
def test_gates_of_examples_are_a_loop_over_examples(connection):
    built, params, state, x = stack(norm=nn.LayerNorm(), connection=connection)
    keep = jax.random.bernoulli(jax.random.key(5), 0.5, (built.length, len(x)))
    y, _, _ = built.apply(params, state, x, Layers(keep=keep), train=True)
    for example in range(len(x)):
        alone = Layers(keep=keep[:, example])
        one, _, _ = built.apply(params, state, x[example : example + 1], alone, train=True)
        close(y[example : example + 1], one)


@pytest.mark.parametrize("connection", (nn.Residual(), nn.Plain()), ids=repr)
def test_a_subset_goes_through_the_branch_and_its_statistics_are_the_blocks(connection):
    built, params, state, x = stack(connection=connection)
    rows = jnp.array([[0, 3, 5], [7, 1, 2], [4, 3, 6]])
    y, new_state, _ = jax.jit(lambda x: built.apply(params, state, x, Layers(rows=rows), train=True))(x)
    for block, chosen in enumerate(rows):
        variables = {"params": layer(params, block), **layer(state, block)}
        place = nn.Place(block + 1, 3)
        (through, _), expected = built.blocks[0].apply(
            variables, jnp.asarray(x[chosen]), place, train=True, mutable=["batch_stats"]
        )
        close(layer(new_state, block), expected)
        x = np.array(x)
        x[chosen] = through
    close(y, x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "connection"),
    (
        ("batch", nn.Residual()),
        pytest.param("sample", nn.Projected(), marks=pytest.mark.slow),
        pytest.param("subset", nn.Residual(), marks=pytest.mark.slow),
        pytest.param("batch", nn.Plain(), marks=pytest.mark.slow),
    ),
)
def test_the_blocks_of_images_that_change_the_shape_can_be_dropped(mode, connection):
    images = {"model": models.preact, "shortcut": nn.Projection(), "norm": nn.NoNorm(), "connection": connection}
    built, params, state, x = network(uniform(0.1), mode, **images)
    y, _, _ = built.apply(params, state, x, Layers(gates=jax.random.key(0)), train=True)
    full, _, _ = built.apply(params, state, x, train=True)
    assert y.shape == full.shape and not np.allclose(y, full)


def test_a_dropped_block_has_no_gradient_and_moves_by_momentum_and_decay_alone():
    built, params, state, x = stack()
    keep = jnp.array([True, False, True])

    def loss(params):
        return (built.apply(params, state, x, Layers(keep=keep), train=True)[0] ** 2).sum()

    gradient = jax.jit(jax.grad(loss))(params)
    assert all((leaf[1] == 0).all() and (leaf[0] != 0).any() for leaf in jax.tree.leaves(gradient))
    optimizer = optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.05, 0.9))
    before = optimizer.init(params)
    _, before = optimizer.update(jax.tree.map(jnp.ones_like, params), before, params)  # a step with its gate open
    updates, _ = optimizer.update(gradient, before, params)
    moved = optax.apply_updates(params, updates)
    for old, new in zip(jax.tree.leaves(params), jax.tree.leaves(moved), strict=True):
        velocity = 0.9 * (1 + 0.01 * old[1]) + 0.01 * old[1]
        close(new[1], old[1] - 0.05 * velocity)


@pytest.mark.parametrize("mode", ("batch", "sample", "subset"))
def test_inverted_scaling_keeps_the_expectation_of_a_block(mode):
    built, params, state, x = network(uniform(0.25), mode, "inverted", depth=4, norm=nn.NoNorm())
    keys = jax.random.split(jax.random.key(3), 4000)
    streams = jax.vmap(
        lambda key: built.apply(params, state, x, Layers(gates=key), train=True, probe=lambda seen: seen.y)[2]
    )(keys)
    _, _, (f, y) = built.apply(params, state, x, probe=lambda seen: (seen.f, seen.y))
    spread = 3**0.5 * np.abs(f) / len(keys) ** 0.5  # of a gate of ¼, over ¼
    assert (np.abs(streams.mean(0) - y) < 5 * spread + 1e-9).all()


def test_in_evaluation_the_paper_scales_by_p_and_inverted_scaling_by_nothing():
    paper, params, state, x = network(stochastic_depth.linear)
    full = dataclasses.replace(paper, stochastic_depth=None)
    scale = jnp.array([5 / 6, 4 / 6, 3 / 6])
    close(paper.apply(params, state, x)[0], full.apply(params, state, x, Layers(branch_scale=scale))[0])
    inverted, *_ = network(stochastic_depth.linear, "batch", "inverted")
    close(inverted.apply(params, state, x)[0], full.apply(params, state, x)[0], 0)
