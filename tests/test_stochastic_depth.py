import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from commands import run
from helpers import StopAt, close, double, jitter, layer, stack

from resjax import architectures, steps, stochastic_depth, train
from resjax.config import Point, Untrained
from resjax.errors import Stopped, UserError
from resjax.stack import Layers

HALF = "uniform(p=0.5)"


def network(survival, drop="batch", scaling="test", **point):
    """A small network with random parameters and state, in float64, and images: (network, params, state, x)."""
    built = architectures.build(Untrained(**{"depth": 8, "width": 5, "norm": "batch"} | point), 10)
    gates = stochastic_depth.build(survival, drop, scaling, built.lengths)
    x = jax.random.normal(jax.random.key(1), (8, 8, 8, 1), jnp.float64)
    params, state = jax.jit(built.init)(jax.random.key(0), x)
    return dataclasses.replace(built, stochastic_depth=gates), jitter(double(params), 2), jitter(double(state), 3), x


def test_the_linear_schedule_is_that_of_the_paper():
    built = architectures.build(Untrained(network="resnet", depth=110), 10)
    p = stochastic_depth.build("linear(last=0.5)", "batch", "test", built.lengths).survival
    assert built.lengths == (18, 18, 18) and p[-1] == 0.5
    np.testing.assert_allclose(p, [1 - block / 54 * 0.5 for block in range(1, 55)])
    np.testing.assert_allclose(sum(p), (3 * 54 - 1) / 4)  # 40.25 of 54 blocks


@pytest.mark.parametrize(
    ("survival", "expected"),
    (
        ("uniform(p=0.7)", [0.7] * 6),
        ("stage(number=2,p=0.25)", [1, 1, 0.25, 0.25, 1, 1]),
        ("own_blocks:thirds", [1 / 3, 2 / 3, 1] * 2),
    ),
)
def test_schedules(survival, expected):
    np.testing.assert_allclose(stochastic_depth.build(survival, "batch", "test", (2, 2, 2)).survival, expected)


@pytest.mark.parametrize(("drop", "scaling"), (("batch", "test"), ("sample", "test"), ("subset", "inverted")))
def test_so_many_blocks_survive_on_average(drop, scaling):
    depth = stochastic_depth.build("linear(last=0.2)", drop, scaling, (10, 10))
    trials, batch = 10_000, 5

    def live(key):
        layers = depth.training(Layers(gates=key), (10, 10), batch)
        if drop == "subset":
            return sum(rows.size for rows in layers.rows) / batch
        return layers.alive.sum() / (1 if drop == "batch" else batch)

    counts = np.asarray(jax.jit(jax.vmap(live))(jax.random.split(jax.random.key(0), trials)))
    if drop == "subset":  # 3.7 of 5 and 1.7 of 5 examples, in whole examples
        assert np.ptp(counts) == 0 and counts[0] == 10 * 4 / 5 + 10 * 2 / 5
    else:
        assert abs(counts.mean() - sum(depth.survival)) < 3 * counts.std() / trials**0.5


@pytest.mark.parametrize("drop", ("batch", "sample", "subset"))
def test_the_gates_of_a_step_are_those_of_its_key(drop):
    built, params, state, x = network(HALF, drop)
    run = jax.jit(lambda key: built.apply(params, state, x, Layers(gates=key), train=True)[0])
    first, again, other = (run(jax.random.key(seed)) for seed in (4, 4, 5))
    assert (first == again).all() and not np.allclose(first, other)


@pytest.mark.parametrize("order", ("pre", "post"))
@pytest.mark.parametrize("each", (False, True))
def test_open_gates_are_the_full_stack_and_closed_ones_the_identity(each, order):
    built, params, state, x = stack(norm="batch", order=order)
    x = jnp.abs(x)  # behind a post-activation block nothing is negative
    shape = (built.length, len(x)) if each else built.length
    run = jax.jit(lambda alive: built.apply(params, state, x, Layers(alive), train=True)[:2])
    opened, opened_state = run(jnp.ones(shape, bool))
    close((opened, opened_state), built.apply(params, state, x, train=True)[:2])
    closed, closed_state = run(jnp.zeros(shape, bool))
    close(closed, x, 0)
    if not each:  # where examples have gates of their own, all is computed, and the statistics are the batch's
        close(closed_state, state, 0)


@pytest.mark.parametrize("connection", ("residual", "plain"))
def test_gates_of_examples_are_a_loop_over_examples(connection):
    built, params, state, x = stack(norm="layer", connection=connection)
    alive = jax.random.bernoulli(jax.random.key(5), 0.5, (built.length, len(x)))
    y, _, _ = built.apply(params, state, x, Layers(alive), train=True)
    for example in range(len(x)):
        one, _, _ = built.apply(params, state, x[example : example + 1], Layers(alive[:, example]), train=True)
        close(y[example : example + 1], one)


@pytest.mark.parametrize("connection", ("residual", "plain"))
def test_a_subset_goes_through_the_branch_and_its_statistics_are_the_blocks(connection):
    built, params, state, x = stack(norm="batch", connection=connection)
    rows = jnp.array([[0, 3, 5], [7, 1, 2], [4, 3, 6]])
    y, new_state, _ = jax.jit(lambda x: built.apply(params, state, x, Layers(rows=rows), train=True))(x)
    for place, chosen in enumerate(rows):
        variables = {"params": layer(params, place), **layer(state, place)}
        (through, _), expected = built.block.apply(variables, x[chosen], train=True, mutable=list(state))
        close(layer(new_state, place), expected)
        x = np.array(x)
        x[chosen] = through
    close(y, x)


@pytest.mark.parametrize(
    ("drop", "connection"),
    (
        ("batch", "residual"),
        pytest.param("sample", "projection", marks=pytest.mark.slow),
        pytest.param("subset", "residual", marks=pytest.mark.slow),
        pytest.param("batch", "plain", marks=pytest.mark.slow),
    ),
)
def test_the_blocks_of_images_that_change_the_shape_can_be_dropped(drop, connection):
    images = {"network": "resnet", "shortcut": "projection", "norm": "none", "order": "pre"}
    built, params, state, x = network("uniform(p=0.1)", drop, connection=connection, **images)
    y, _, _ = built.apply(params, state, x, Layers(gates=jax.random.key(0)), train=True)
    full, _, _ = built.apply(params, state, x, train=True)
    assert y.shape == full.shape and not np.allclose(y, full)


def test_a_dropped_block_has_no_gradient_and_moves_by_momentum_and_decay_alone():
    built, params, state, x = stack(norm="batch")
    alive = jnp.array([True, False, True])

    def loss(params):
        return (built.apply(params, state, x, Layers(alive), train=True)[0] ** 2).sum()

    gradient = jax.jit(jax.grad(loss))(params)
    assert all((leaf[1] == 0).all() and (leaf[0] != 0).any() for leaf in jax.tree.leaves(gradient))
    optimizer = train.plan(Point(depth=4, weight_decay=0.01))[1].build()
    before = optimizer.init(params)
    _, before = optimizer.update(jax.tree.map(jnp.ones_like, params), before, params)  # a step with its gate open
    updates, _ = optimizer.update(gradient, before, params)
    moved = optax.apply_updates(params, updates)
    for old, new in zip(jax.tree.leaves(params), jax.tree.leaves(moved), strict=True):
        velocity = 0.9 * (1 + 0.01 * old[1]) + 0.01 * old[1]
        close(new[1], old[1] - 0.05 * velocity, 1e-6)  # the rate is a float32


@pytest.mark.parametrize("drop", ("batch", "sample", "subset"))
def test_inverted_scaling_keeps_the_expectation_of_a_block(drop):
    built, params, state, x = network("uniform(p=0.25)", drop, "inverted", depth=4, norm="none")
    keys = jax.random.split(jax.random.key(3), 4000)
    streams = jax.vmap(
        lambda key: built.apply(params, state, x, Layers(gates=key), train=True, probe=lambda seen: seen.y)[2]
    )(keys)
    _, _, seen = built.apply(params, state, x, probe=lambda seen: (seen.f, seen.y))
    spread = 3**0.5 * np.abs(seen[0]) / len(keys) ** 0.5  # of a gate of ¼, over ¼
    assert (np.abs(streams.mean(0) - seen[1]) < 5 * spread + 1e-9).all()


def test_in_evaluation_the_paper_scales_by_p_and_inverted_scaling_by_nothing():
    paper, params, state, x = network("linear(last=0.5)")
    full = dataclasses.replace(paper, stochastic_depth=None)
    rate = jnp.array([5 / 6, 4 / 6, 3 / 6])
    close(paper.apply(params, state, x)[0], full.apply(params, state, x, Layers(rate=rate))[0], 1e-6)
    inverted, *_ = network("linear(last=0.5)", "batch", "inverted")
    close(inverted.apply(params, state, x)[0], full.apply(params, state, x)[0], 0)


def test_networks_that_train_together_train_as_they_would_alone(tmp_path):
    point = Point(depth=6, width=8, steps=12, norm="batch", log_every=5, augment=("crop(pad=1)",))
    together, _ = train.fit(dataclasses.replace(point, together=3, seed=4), tmp_path / "together")
    for at in range(3):
        alone, _ = train.fit(dataclasses.replace(point, seed=4 + at), tmp_path / str(at))
        assert alone["parameters"] == together["parameters"] and alone["steps"] == together["steps"]
        for name in ("train_loss", "train_accuracy", "test_accuracy"):
            np.testing.assert_allclose(together[name][at], alone[name], rtol=1e-3)


def test_networks_that_train_together_share_their_gates():
    network, optimizer, dataset = train.plan(Point(depth=20, width=4, survival=HALF, together=2))
    images = jnp.zeros((1, *dataset.train.shape))
    carry = steps.initialize(network, optimizer, steps.key_of(0, 2), images)
    source = dataset.train.batches(16, ("none",), 0, 2).at(0)
    program = steps.train_step.lower(network, optimizer, carry, source).as_text()
    assert "stablehlo.case" in program  # a closed gate is a branch not taken, not a selection afterwards
    before = jax.tree.map(np.array, carry.params["stages"])
    after = steps.train_step(network, optimizer, carry, source)[0].params["stages"]
    same = [
        np.array(old == new).all(tuple(range(2, old.ndim)))
        for old, new in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    ]
    dropped = np.all(same, axis=0)  # M L
    assert (dropped[0] == dropped[1]).all() and 0 < dropped[0].sum() < 9


@pytest.mark.parametrize(
    ("survival", "says"),
    (
        ("uniform(p=0)", "probability 0 is not in (0, 1]"),
        ("linear(last=1.5)", "probability 1.05556 is not in (0, 1]"),
        ("linear(last=-0.1)", "probability -0.1 is not in (0, 1]"),
        ("stage(number=4,p=0.5)", "stages 1 to 1"),
        ("own_blocks:thirds", "gives 6 probabilities for 9 blocks"),
        ("cubic", "unknown survival 'cubic'"),
    ),
)
def test_probabilities_that_cannot_be(survival, says):
    with pytest.raises(UserError, match=re.escape(says)):
        train.plan(Point(depth=20, survival=survival))


@pytest.mark.slow
def test_the_experiment(tmp_path):
    small = ("--depths=8", "--survival=none,linear(last=0.5)", "--width=8", "--steps=20", f"--workdir={tmp_path}")
    code, _, err = run("stochastic_depth", *small)
    assert code == 0, err
    rows = [line.split(",") for line in (tmp_path / "results.csv").read_text().splitlines()[1:]]
    assert [(row[3], row[4]) for row in rows] == [("none", "batch")] + [
        ("linear(last=0.5)", drop) for drop in ("batch", "sample", "subset")
    ]
    assert [float(row[8]) for row in rows] == [3, 2, 2, 2]  # of 3 blocks, (3·3 − 1)/4


def test_a_probability_that_cannot_be_is_one_line_and_nothing_on_disk(tmp_path):
    code, out, err = run("stochastic_depth", "--survival=uniform(p=1.2)", f"--workdir={tmp_path / 'run'}")
    assert (code, out, err.count("\n")) == (2, "", 1) and "probability 1.2 is not in (0, 1]" in err
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_taken_up_again_has_the_same_gates(tmp_path):
    point = Point(depth=12, width=8, steps=20, survival=HALF, log_every=5)
    whole, _ = train.fit(point, tmp_path / "whole")
    with pytest.raises(Stopped):
        train.fit(point, tmp_path / "cut", StopAt(7))
    again, _ = train.fit(point, tmp_path / "cut")
    assert again == whole
