"""Identity layers leave a network what it is, blocks learn to be the identity, and the experiment on both."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from commands import run
from helpers import close, double, jitter
from scipy import stats
from scipy.integrate import quad

from experiments import identity as experiment
from resjax import models, nn
from resjax.probes import identity
from resjax.probes.whiteness import without_ends
from resjax.random_streams import stream
from resjax.system.errors import UserError


def test_identity_layers_leave_a_plain_network_what_it_is():
    shallow, deep = (models.dense(depth, 5, connection=nn.Plain(), order=nn.POST, classes=3) for depth in (6, 12))
    images = jax.random.normal(jax.random.key(0), (7, 2, 2, 1), jnp.float64)
    params, state = jax.jit(shallow.init)(jax.random.key(1), images)
    params = jitter(double(params), 2)
    state = jitter(double(state), 3)
    found = deep.apply(*identity.deepen(params, state, deep.length), images)[0]
    close(found, shallow.apply(params, state, images)[0], 1e-10)


def learn(network, width, *, rates, **options):
    """What two seeds learn at these rates."""
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    return identity.learn(network, width, keys, np.array(rates), batch_size=32, **options)


def test_a_plain_block_that_begins_and_ends_with_weights_can_be_the_identity():
    network = without_ends(models.dense(8, 5, connection=nn.Plain(), norm=nn.NoNorm(), order=nn.BETWEEN, classes=3))
    x = jax.random.normal(jax.random.key(0), (7, 5), jnp.float64)
    params, state = network.init(jax.random.key(1), x)

    def weights(path, leaf):
        first = path[-2].key.endswith("_0")
        return jnp.broadcast_to(jnp.eye(5), leaf.shape) if leaf.ndim == 3 else jnp.full(leaf.shape, 9 if first else -9)

    exact = jax.tree_util.tree_map_with_path(weights, double(params))
    assert len({leaf.shape for leaf in jax.tree.leaves(exact)}) == 2 and x.min() > -9
    close(network.apply(exact, state, x)[0], x, 1e-12)


def test_the_least_error_behind_a_relu_is_the_variance_that_the_rest_of_the_gaussian_has():
    density = stats.norm.pdf
    half = 2 * quad(lambda x: x * density(x), -np.inf, 0)[0]  # E(x | x < 0)
    np.testing.assert_allclose(identity.RECTIFIED, quad(lambda x: (x - half) ** 2 * density(x), -np.inf, 0)[0])


def test_a_plain_block_behind_a_relu_stays_above_that_error_and_one_between_weights_does_not():
    between, pre = (
        learn(
            models.dense(4, 4, connection=nn.Plain(), norm=nn.NoNorm(), order=order, classes=3),
            4, rates=(0.01, 0.03), steps=1500, target=0.1,
        )
        for order in (nn.BETWEEN, nn.PRE)
    )  # fmt: skip
    assert pre.last.min() > 0.95 * identity.RECTIFIED > between.last.min()  # of 1024 inputs
    assert np.isnan(pre.steps).all() and np.isfinite(between.steps[between.last <= 0.1]).all()


@pytest.mark.slow
def test_training_is_optax_adam_in_a_loop_and_the_steps_are_those_to_the_target():
    network = models.dense(4, 5, norm=nn.NoNorm(), classes=3)
    blocks = without_ends(network)
    key = jax.random.key(1)  # the second seed
    x = jax.random.normal(stream(key, "identity_test"), (identity.TEST_INPUTS, 5))
    params, state = blocks.init(stream(key, "weights"), x)
    tx = optax.adam(0.01)
    momenta = tx.init(params)
    errors = []
    for step in range(60):
        errors.append(float(((blocks.apply(params, state, x)[0] - x) ** 2).mean() / (x**2).mean()))
        seen = jax.random.normal(jax.random.fold_in(stream(key, "identity_training"), step), (32, 5))
        gradient = jax.grad(lambda params, z: ((blocks.apply(params, state, z)[0] - z) ** 2).mean())(params, seen)
        updates, momenta = tx.update(gradient, momenta)
        params = optax.apply_updates(params, updates)
    target = errors[40] * 1.0001
    found = learn(network, 5, rates=(0.003, 0.01), steps=60, target=target)
    np.testing.assert_allclose(found.first[1], errors[0], rtol=1e-5)
    assert errors[20] > target and found.steps[1, 1] == 40


@pytest.mark.parametrize(("connection", "starts_there"), ((nn.ReZero(), True), (nn.Plain(), False)))
def test_the_error_before_training_is_that_of_the_blocks_alone(connection, starts_there):
    network = models.dense(4, 5, connection=connection, norm=nn.NoNorm(), classes=3)
    found = learn(network, 5, rates=(0.0,), steps=1, target=0.01)
    assert ((found.first == 0) == starts_there).all() and ((found.steps == 0) == starts_there).all()
    np.testing.assert_array_equal(found.last, found.first)  # at a rate of 0


@pytest.mark.parametrize(
    ("options", "says"),
    (
        ({"network": "resnet"}, "--network=resnet: added layers are the identity with 'dense' only"),
        ({"activation": "tanh"}, "--activation=tanh: added layers are the identity with 'relu' only"),
        ({"survival": "uniform(p=0.5)"}, "--survival=uniform(p=0.5): added layers are the identity with 'none' only"),
        ({"shallow": 56}, "--deep=56: must be more than --shallow=56"),
    ),
)
def test_what_identity_layers_cannot_deepen_is_refused(options, says):
    with pytest.raises(UserError, match=f"^{re.escape(says)}$"):
        experiment.Config(**options)


@pytest.mark.slow
def test_the_deepened_network_has_the_loss_of_the_best_one_that_was_trained(tmp_path):
    small = ("--width=8", "--steps=20", "--batch_size=32", "--shallow=4", "--deep=8", "--seeds=2", "--map_steps=5")
    maps = ("--depths=4,2", "--connections=rezero", "--orders=pre", "--map_width=4", "--learning_rates=0.001,0.01")
    code, _, err = run("identity", *small, *maps, f"--workdir={tmp_path}")
    assert code == 0, err
    results = pd.read_csv(tmp_path / "results.csv").set_index(["network", "depth", "seed"])
    assert results.index.get_level_values(0).value_counts().to_dict() == {
        "plain, trained": 4, "residual, trained": 4, "plain, deepened": 2,
    }  # fmt: skip
    for seed in (0, 1):
        deepened, trained = results.loc["plain, deepened", 8, seed], results.loc["plain, trained", 4, seed]
        assert deepened["train_loss"] == pytest.approx(trained["train_loss"], rel=1e-5)
        assert deepened["learning_rate"] == trained["learning_rate"]
    found = pd.read_csv(tmp_path / "maps.csv")
    assert found[["depth", "seed"]].to_numpy().tolist() == [[4, 0], [4, 1], [2, 0], [2, 1]]
    assert (found["first_error"] == 0).all() and (found["steps"] == 0).all()  # ReZero starts there
