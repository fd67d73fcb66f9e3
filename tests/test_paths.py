"""Paths of the gradient: their sum is the gradient, and each is the product of what stands on it, in float64."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from commands import run
from helpers import close, double, jitter
from scipy.stats import binom

from experiments import paths as experiment
from resjax import models, nn
from resjax.layers import Layers
from resjax.probes import forks, path_lengths, paths
from resjax.system.errors import UserError

CLASSES = 3
IN_PAPER = {(19, 35): 0.98017, (5, 17): 0.0045367}  # lengths, in blocks of 54: the share of paths
SMALL = ("--depths=6", "--width=8", "--steps=20", "--batch_size=32", "--samples=3")
HEADERS = {
    "results": "network,norm,stage,seed,learning_rate,at_edge,length,"
    "paths,gradient_norm,gradient_norm_low,gradient_norm_high,contribution",
    "effective": "network,norm,stage,seed,learning_rate,at_edge,blocks,low,high,mean",
}


def made(model=models.dense, depth=14, size=1, **choices):
    """A network of six blocks with random parameters and state, images and labels, all in float64."""
    network = model(depth, classes=CLASSES, **{"width": 5} | choices)
    images = jax.random.normal(jax.random.key(0), (8, size, size, 3), jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(1), images)
    labels = jnp.arange(len(images)) % CLASSES
    return network, jitter(double(params), 2), jitter(double(state), 3), images, labels


def subsets(length):
    """All subsets of so many blocks: 2ᴸ L bool."""
    return jnp.array(list(itertools.product((False, True), repeat=length)))


def check_sum(network, params, state, images, labels):
    """Asserts that the gradients along all paths are different ones and sum to the gradient."""

    def loss(images):
        logits, _, _ = network.apply(params, state, images, train=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    @jax.vmap
    def along(chosen):
        return path_lengths.path_gradient(network, params, state, images, labels, chosen)

    found = along(subsets(network.length))
    close(found.sum(0), jax.jit(jax.grad(loss))(images), 1e-10)
    assert len(np.unique(found.reshape(len(found), -1), axis=0)) == 2**network.length


@pytest.mark.parametrize("order", (nn.PRE, nn.POST))
@pytest.mark.parametrize("norm", (nn.BatchNorm(), pytest.param(nn.NoNorm(), marks=pytest.mark.slow)))
def test_the_paths_sum_to_the_gradient(norm, order):
    check_sum(*made(norm=norm, order=order))


@pytest.mark.slow
def test_the_paths_of_images_do_too():
    check_sum(*made(models.preact, size=8))


@pytest.mark.parametrize(
    "connection", (nn.Hyper(n=2, dynamic=True), pytest.param(nn.DenseFormer(), marks=pytest.mark.slow))
)
def test_the_paths_through_streams_and_a_memory_sum_to_the_gradient(connection):
    check_sum(*made(connection=connection, norm=nn.LayerNorm()))


def test_a_path_of_a_linear_network_is_a_product_of_its_weights():
    linear = {"branch": nn.Dense(layers=1), "activation": jax.nn.identity, "norm": nn.NoNorm()}
    network, params, state, images, labels = made(depth=8, **linear)
    stem, head = (np.asarray(params[name]["Dense_0"]["kernel"]) for name in ("stem", "head"))
    weights = np.asarray(params["stages"][0][0]["branch"]["Dense_0"]["kernel"])  # L D D
    shares = np.asarray(jax.nn.softmax(network.apply(params, state, images)[0]))
    slope = (shares - np.eye(CLASSES)[labels]) / len(labels)  # of the loss towards the logits, B K
    along = jax.jit(lambda chosen: path_lengths.path_gradient(network, params, state, images, labels, chosen))
    for blocks in ([], [3], [0, 5], [1, 2, 4], [0, 1, 2, 3, 4, 5]):
        found = along(jnp.isin(jnp.arange(6), jnp.array(blocks, int))).reshape(len(images), -1)
        product = np.linalg.multi_dot([slope, head.T, *(weights[block].T for block in reversed(blocks)), stem.T])
        np.testing.assert_allclose(found, product, rtol=1e-12)


def test_the_way_forward_is_that_of_the_network():
    network, params, state, images, _ = made(connection=nn.Dropout())

    def forward(tap=None, **fork):
        layers = Layers(grad_tap=tap, key=jax.random.key(4))
        return jax.jit(lambda: network.apply(params, state, images, layers, train=True, **fork)[:2])()

    close(forward(jnp.arange(6) < 3, fork=forks.choosing), forward(), tolerance=0)


def test_norms_of_many_paths_are_those_of_each():
    network, params, state, images, labels = made(connection=nn.Dropout(), norm=nn.NoNorm())
    key, chosen = jax.random.key(4), subsets(6)[: path_lengths.AT_ONCE + 3]

    @jax.jit
    def along(chosen):
        return path_lengths.path_gradient(network, params, state, images, labels, chosen, key)

    expected = [np.linalg.norm(np.ravel(along(each))) for each in chosen]
    found = path_lengths.path_norms(network, params, state, images, labels, chosen, key)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_random_paths_have_their_length_and_differ():
    for length, different in ((0, 1), (1, 16), (27, 20), (54, 1)):
        chosen = path_lengths.masks(jax.random.key(0), 54, length, samples=20)
        assert chosen.shape == (20, 54) and (chosen.sum(1) == length).all()
        assert len(np.unique(chosen, axis=0)) >= different
    often = path_lengths.masks(jax.random.key(0), 54, 10, samples=4000).mean(0)  # every block as often as the others
    np.testing.assert_allclose(often, 10 / 54, atol=0.03)  # five standard deviations


@pytest.mark.parametrize(("lengths", "share"), IN_PAPER.items())
def test_lengths_are_distributed_as_in_the_paper(lengths, share):
    shortest, longest = lengths
    assert path_lengths.shares(54)[shortest : longest + 1].sum() == pytest.approx(share, rel=1e-5)


@pytest.mark.parametrize("length", (54, 2000))  # 2⁻²⁰⁰⁰ is below the smallest float
def test_norms_that_fall_by_a_factor_a_block_contribute_as_a_binomial(length):
    with np.errstate(under="ignore"):
        found = path_lengths.contributions(0.25 ** np.arange(length + 1))  # Σ binom(L, k) aᵏ = (1 + a)ᴸ
    np.testing.assert_allclose(found, binom.pmf(np.arange(length + 1), length, 0.2), atol=1e-12)
    assert path_lengths.central(found) == tuple(binom.ppf((0.025, 0.975), length, 0.2))


def test_the_table_has_a_row_a_length():
    network, params, state, images, labels = made(norm=nn.LayerNorm())
    table = paths(network, params, state, images, labels, jax.random.key(5), samples=2)
    assert table["length"].tolist() == list(range(7)) and table["contribution"].sum() == pytest.approx(1)
    np.testing.assert_allclose(table["paths"], binom.pmf(range(7), 6, 0.5))
    for length, chosen in ((0, jnp.zeros(6, bool)), (6, jnp.ones(6, bool))):  # of these there is one
        expected = path_lengths.path_norms(network, params, state, images, labels, chosen[None])[0]
        assert table["gradient_norm"][length] == pytest.approx(float(expected), rel=1e-9)
    assert (table["gradient_norm_low"] <= table["gradient_norm_high"]).all()


def test_where_no_path_brings_any_there_are_no_shares_and_no_warning(recwarn):
    assert np.isnan(path_lengths.contributions(np.zeros(4))).all() and not recwarn.list


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "stages"),
    (
        ([], ["start", "trained"]),
        (["--norms=none", "--learning_rate=1e20"], ["start"]),  # diverges
        (["--initializer=zeros"], []),  # no gradient comes past the head, whose biases alone are trained
    ),
)
def test_the_experiment_leaves_its_tables_and_figure(tmp_path, flags, stages):
    code, out, err = run("paths", *SMALL, *flags, f"--workdir={tmp_path}/run")
    assert (code, err) == (0, ""), err
    assert f"figure: {tmp_path}/run/figure.png" in out and (tmp_path / "run/figure.pdf").exists()
    results, effective = (pd.read_csv(tmp_path / f"run/{name}.csv") for name in HEADERS)
    assert [",".join(table.columns) for table in (results, effective)] == list(HEADERS.values())
    assert effective["stage"].tolist() == stages and len(results) == 3 * len(stages)
    sums = results.groupby("stage")[["paths", "contribution"]].sum()
    np.testing.assert_allclose(sums.to_numpy(float), 1)


@pytest.mark.parametrize("connection", ("plain", "scaled(alpha=0)"))
def test_a_network_without_skips_is_refused(tmp_path, connection):
    with pytest.raises(UserError, match=f"--connections={re.escape(connection)}: has no skips") as error:
        experiment.STUDY.run(experiment.Config(connections=(connection,), workdir=f"{tmp_path}/run"))
    assert error.value.exit_code == 2 and "\n" not in str(error.value) and not (tmp_path / "run").exists()
