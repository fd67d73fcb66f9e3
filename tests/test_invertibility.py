"""The experiments on inverses: small and to their end, and what they refuse."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from commands import run

from resjax import models, nn, theory
from resjax.cost import parameter_count
from resjax.lab import building, start, wide_limit
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

HEADER = (
    "connection,norm,activation,spectral_norm,branch_scale,width,depth,seed,stage,train_accuracy,lipschitz_lower,lipschitz_upper,"
    "invertible_share,sigma_min,sigma_max,rank_share,condition,condition_gaussian,condition_relu,inverse_error,inverse_bound,iterations,newton_share,"
    "not_inverted_share,logdet,logdet_lower,logdet_upper"
)
TRAINING = ("--steps=20", "--batch_size=32", "--seeds=2")
SMALL = {
    "invertibility": ("--width=8", "--depths=6", "--connections=plain,residual", "--norms=batch", "--images=2"),
    "invertible_resnet": ("--depths=10", "--width=4", "--spectral_norm=0.9,0", "--images=3"),
}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", SMALL)
def test_an_experiment_leaves_its_tables_and_figure(experiment, tmp_path):
    code, out, err = run(experiment, *SMALL[experiment], *TRAINING, f"--workdir={tmp_path}/run")
    assert (code, err) == (0, ""), err
    assert f"figure: {tmp_path}/run/figure.png" in out
    table = pd.read_csv(tmp_path / "run/results.csv")
    bounded = table[(table["spectral_norm"] == 0.9) & (table.get("connection", "residual") == "residual")]
    if experiment == "invertibility":
        assert (tmp_path / "run/results.csv").read_text().splitlines()[0] == HEADER
        assert len(table) == 2 * 2 * 2 * 2  # connections, bounds, stages, seeds
        sound = table[np.isfinite(table["logdet"]) & np.isfinite(table["logdet_lower"])]
        assert (sound["logdet_lower"] <= sound["logdet"]).all() and (sound["logdet"] <= sound["logdet_upper"]).all()
        assert (table["lipschitz_lower"] <= 1.001 * table["lipschitz_upper"]).all()
    else:
        assert len(pd.read_csv(tmp_path / "run/pictures.csv")) == 2 * 2 * 64
        assert (bounded["invertible_share"] == 1).all() and (bounded["inverse_error"] < 1e-6).all()
        assert bounded["iterations"].max() <= 100
    code, _, err = run(experiment, *SMALL[experiment], *TRAINING, f"--workdir={tmp_path}/run", "--plot_only")
    assert (code, err) == (0, "")


@pytest.mark.parametrize("blocks", (1, 4))
def test_an_iresnet_has_the_parameters_of_its_convolutions(blocks):
    network = models.iresnet(9 * blocks + 1, width=5, norm=nn.NoNorm())
    params, _ = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    widths = [5, 20, 80]
    branches = sum(blocks * (9 + 1 + 9) * width**2 for width in widths)
    assert parameter_count(params) == branches + 10 * 80 + 10
    assert (network.depth, network.stride, network.lengths) == (9 * blocks + 1, 4, (blocks,) * 3)


def test_statistics_of_a_batch_at_once():
    trial = Trial(depth=6, width=5, norm="batch")
    network = building.network(trial, 10)
    images = 3 + jax.random.normal(jax.random.key(0), (16, 4, 4, 1))
    params, state = jax.jit(network.init)(jax.random.key(1), images)
    found = start.settled(trial, network, params, state, images)
    apply = jax.jit(network.apply, static_argnames="train")
    for _ in range(150):  # the running statistics come to where they are at once
        _, state, _ = apply(params, state, images, train=True)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5), found, state)


@pytest.mark.parametrize(
    ("options", "gaussian", "relu"),
    (
        ({}, True, True),
        ({"activation": "identity", "initializer": "lecun_normal"}, True, False),
        ({"activation": "identity"}, False, False),  # He's weights double the square
        ({"norm": "layer"}, True, False),
        ({"order": "post"}, False, False),
        ({"spectral_norm": 0.9}, False, False),
        ({"connection": "residual"}, False, False),  # far from the identity
    ),
)
def test_each_law_of_the_condition_number_has_its_networks(options, gaussian, relu, monkeypatch):
    monkeypatch.setattr(theory, "relu_condition", lambda branch, layers: sum(branch) * layers)
    trial = Trial(**{"depth": 34, "connection": "scaled(power=0.5)", "norm": "none"} | options)
    found = wide_limit.conditions(trial, building.network(trial, 10), 1.0)
    assert np.isfinite(found["condition_gaussian"]) == gaussian
    assert found["condition_relu"] == pytest.approx(2.0 if relu else np.nan, nan_ok=True)
    if gaussian and trial.norm == "none":
        assert found["condition_gaussian"] == pytest.approx((2 + 3**0.5) * np.exp(3**0.5))  # s = 1


def test_linear_layers_keep_the_square_by_lecuns_weights():
    assert wide_limit.keeping("he_normal", "identity") == "lecun_normal"
    assert wide_limit.keeping("he_normal", "relu") == "he_normal"
    assert wide_limit.keeping("orthogonal", "identity") == "orthogonal"


@pytest.mark.parametrize(
    ("experiment", "choices", "says"),
    (
        ("invertibility", {"spectral_norm": (1.0,)}, "--spectral_norm=1: an inverse is promised only below 1"),
        (
            "invertibility",
            {"network": "resnet", "depths": (8,)},
            "--network=resnet: block 1 opens a stage, which cannot be inverted",
        ),
        ("invertibility", {"order": "post"}, "--order=post: what stands behind the addition has no inverse"),
        ("invertibility", {"images": 1501}, "--images=1501: digits has 1500 training images"),
        ("invertible_resnet", {"spectral_norm": (0.9, 1.2)}, "--spectral_norm=1.2: an inverse is promised only below"),
        (
            "invertible_resnet",
            {"network": "dense", "depths": (8,), "branch": ""},
            "--network=dense: its stem has no inverse",
        ),
        ("invertible_resnet", {"images": 298}, "--images=298: digits has 297 held-out images"),
        ("invertible_resnet", {"dataset": "digits", "depths": (12,)}, "--network=iresnet: depth 12: iresnet"),
    ),
)
def test_what_is_refused(experiment, choices, says, tmp_path):
    module = importlib.import_module(f"experiments.{experiment}")
    with pytest.raises(UserError) as refusal:
        module.STUDY.run(module.Config(**choices, workdir=str(tmp_path / "run")))
    assert says in str(refusal.value) and not list(tmp_path.iterdir())


def test_images_that_cannot_be_squeezed():
    trial = Trial(network="iresnet", depth=10, width=4)
    network = building.network(trial, 10)
    with pytest.raises(UserError, match=r"squeezes squares of 4×4, which do not fill the 30×32 pixels of mine"):
        building.check(trial, network, (30, 32, 3), "mine")
    with pytest.raises(UserError, match=r"--width=4: must be at least 5, the channels of mine"):
        building.check(trial, network, (32, 32, 5), "mine")
