"""Identity layers leave a network what it is, blocks learn to be the identity, and the experiment on both."""

import re

import jax
import jax.numpy as jnp
import pandas as pd
import pytest
from commands import run
from helpers import close, double, jitter

from experiments import identity as experiment
from resjax import models, nn
from resjax.probes import identity
from resjax.system.errors import UserError


def test_identity_layers_leave_a_plain_network_what_it_is():
    shallow, deep = (models.dense(depth, 5, connection=nn.Plain(), order=nn.POST, classes=3) for depth in (6, 12))
    images = jax.random.normal(jax.random.key(0), (7, 2, 2, 1), jnp.float64)
    params, state = jax.jit(shallow.init)(jax.random.key(1), images)
    params = jitter(double(params), 2)
    state = jitter(double(state), 3)
    found = deep.apply(*identity.deepen(params, state, deep.length), images)[0]
    close(found, shallow.apply(params, state, images)[0], 1e-10)


@pytest.mark.parametrize(("connection", "starts_there"), ((nn.ReZero(), True), (nn.Plain(), False)))
def test_the_error_before_training_is_that_of_the_blocks_alone(connection, starts_there):
    network = models.dense(4, 5, connection=connection, norm=nn.NoNorm(), classes=3)
    found = identity.learn(network, 5, key=jax.random.key(0), steps=1, batch_size=8, rate=0.0)
    assert (found["first_error"] == 0) == starts_there
    assert found["last_error"] == found["first_error"]  # at a rate of 0


def test_a_residual_block_learns_the_identity():
    network = models.dense(4, 5, norm=nn.NoNorm(), classes=3)
    found = identity.learn(network, 5, key=jax.random.key(0), steps=300, batch_size=64, rate=0.01)
    assert found["last_error"] < 0.02 * found["first_error"]


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
def test_the_deepened_network_has_the_loss_of_the_one_that_was_trained(tmp_path):
    small = ("--width=8", "--steps=20", "--batch_size=32", "--shallow=4", "--deep=8", "--seeds=2", "--map_steps=5")
    maps = ("--depths=4,2", "--norms=none", "--connections=rezero")
    code, _, err = run("identity", *small, *maps, f"--workdir={tmp_path}")
    assert code == 0, err
    results = pd.read_csv(tmp_path / "results.csv").set_index(["network", "depth", "seed"])
    assert [name for name, *_ in results.index] == 4 * ["plain, trained"] + 4 * ["residual, trained"] + 2 * [
        "plain, deepened"
    ]
    for seed in (0, 1):
        deepened, trained = results.loc["plain, deepened", 8, seed], results.loc["plain, trained", 4, seed]
        assert deepened["train_loss"] == pytest.approx(trained["train_loss"], rel=1e-5)
    found = pd.read_csv(tmp_path / "maps.csv")
    assert found[["depth", "seed"]].to_numpy().tolist() == [[4, 0], [4, 1], [2, 0], [2, 1]]
    assert (found["first_error"] == 0).all()  # ReZero starts there
