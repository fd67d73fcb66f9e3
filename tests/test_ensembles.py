import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import run
from sklearn.metrics import log_loss

from experiments import ensembles
from experiments.ensembles_measure import calibration_error, cross_entropy, measure, scores
from resjax import models, nn
from resjax.cost import forward_flops
from resjax.lab import registry, trial
from resjax.layers import Layers
from resjax.system.errors import UserError
from resjax.training.step import member


def test_the_blocks_of_a_deep_network_are_dealt_out_equally():
    config = ensembles.Config()
    deep, *shallow = ensembles.points(config, depth=66, connection="plain", seed=1)
    blocks = [registry.network(point, 10).length for point in (deep, *shallow)]
    assert [point.num_seeds for point in shallow] == [2, 4, 8] and blocks == [32, 16, 8, 4]
    assert [point.seed for point in (deep, *shallow)] == [1, 8, 8, 8]  # seed 0 has members 0 to 7


@pytest.mark.parametrize(("depth", "members"), ((66, 3), (66, 64), (67, 2)))
def test_blocks_that_cannot_be_dealt_out_are_refused(depth, members):
    with pytest.raises(UserError, match=f"the network of depth {depth} can not be dealt out"):
        ensembles.shallow(ensembles.Config(), depth, members)


def test_calibration_error_of_a_coin_and_of_a_braggart():
    labels = np.arange(1000) % 2
    even = np.full((1000, 2), 0.5)
    boasting = np.tile([0.95, 0.05], (1000, 1))
    np.testing.assert_allclose([calibration_error(p, labels) for p in (even, boasting)], [0, 0.45], atol=1e-12)


def test_cross_entropy_is_scikit_learns():
    draw = np.random.default_rng(0)
    probabilities, labels = draw.dirichlet(np.ones(5), 200), np.arange(200) % 5
    np.testing.assert_allclose(cross_entropy(probabilities, labels), log_loss(labels, probabilities))


def test_scores_of_three_members_by_hand():
    members = np.array([[[0.8, 0.2], [0.6, 0.4]], [[0.4, 0.6], [0.6, 0.4]], [[0.9, 0.1], [0.3, 0.7]]])  # M N K
    found = scores(members, harmed=np.array([[[0.4, 0.6], [0.5, 0.5]]]), labels=np.array([0, 0]))
    assert (found["accuracy"], found["lesion_error"]) == (1, 0.5)
    np.testing.assert_allclose(found["member_accuracy"], (1 + 0.5 + 0.5) / 3)
    np.testing.assert_allclose(found["disagreement"], (0.5 + 0.5 + 1) / 3)
    loss = -(np.log(0.7) + np.log(0.5)) / 2
    np.testing.assert_allclose(found["loss"], loss)
    np.testing.assert_allclose(found["lesion_loss"], -(np.log(0.4) + np.log(0.5)) / 2 - loss)


@pytest.mark.slow
def test_what_is_measured_of_an_ensemble_is_a_loop_over_members_and_blocks(tmp_path):
    config = ensembles.Config(width=8, steps=30, members=(2,))
    family = ensembles.points(config, depth=10, connection="residual", seed=0)
    result, _ = trial.train(family[1], tmp_path)
    _, system, trained = ensembles.systems(config, family, own=True)[1]
    found = measure(system, trained, tmp_path, result["diverged"])
    network, saved, dataset = trial.trained(trained, tmp_path)
    images, labels = dataset.test.take(jnp.arange(len(dataset.test)))

    def answer(at, keep=None):
        logits, _, _ = network.apply(*member((saved.params, saved.state), at), images, Layers(keep=keep))
        return jax.nn.softmax(logits)

    whole = [answer(at) for at in (0, 1)]
    average = (whole[0] + whole[1]) / 2
    np.testing.assert_allclose(found["accuracy"], (average.argmax(-1) == labels).mean())
    np.testing.assert_allclose(found["loss"], log_loss(labels, average), rtol=1e-5)
    harmed = [(answer(at, jnp.arange(2) != block) + whole[1 - at]) / 2 for at in (0, 1) for block in (0, 1)]
    expected = np.mean([log_loss(labels, one) for one in harmed]) - log_loss(labels, average)
    np.testing.assert_allclose(found["lesion_loss"], expected, rtol=1e-4)


@pytest.mark.slow
def test_sub_networks_lose_their_share_of_blocks(tmp_path):
    config = ensembles.Config(width=8, steps=30, members=(2,), left_out=0.5)
    family = ensembles.points(config, depth=18, connection="residual", seed=0)
    result, _ = trial.train(family[0], tmp_path)
    system, point, trained = ensembles.systems(config, family, own=True)[-1]
    none = dataclasses.replace(point, left_out=0.0)
    found, whole = (measure(one, trained, tmp_path, [result["diverged"]]) for one in (point, none))
    assert system == "sub-networks" and found["members"] == 2
    assert whole["disagreement"] == 0 and found["disagreement"] > 0 and found["loss"] > whole["loss"]
    np.testing.assert_allclose(whole["accuracy"], result["test_accuracy"])


def test_an_ensemble_that_diverged_is_a_row():
    config = ensembles.Config(members=(2,))
    _, system, trained = ensembles.systems(config, ensembles.points(config, 18, "plain", 0), own=False)[1]
    found = measure(system, trained, None, [3, 5])
    assert found["diverged"] == 2 and np.isnan(found["accuracy"]) and found["training_gigaflops"] > 0


def test_forward_flops_are_those_of_the_matrix_products():
    network = models.dense(22, width=256, norm=nn.NoNorm())
    products = 2 * 3 * (64 * 256 + 20 * 256 * 256 + 256 * 10)
    found = forward_flops(network, jnp.zeros((3, 8, 8, 1), jnp.float32))
    np.testing.assert_allclose(found, products, rtol=0.01)


@pytest.mark.slow
def test_the_experiment(tmp_path):
    small = ("--depths=10", "--members=2", "--width=8", "--steps=20", f"--workdir={tmp_path}")
    code, _, err = run("ensembles", *small)
    assert code == 0, err
    table = (tmp_path / "results.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table[1:]] == ["deep", "ensemble", "sub-networks", "deep", "ensemble"]
