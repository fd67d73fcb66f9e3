"""Ensembles: how the blocks are dealt out, and what is measured of several networks together."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from commands import run
from etils import epath
from scipy.special import softmax
from sklearn.metrics import log_loss

from experiments import ensembles
from resjax import data, models, nn
from resjax.cost import forward_flops
from resjax.lab import building
from resjax.lab.ahead import Ahead
from resjax.lab.bench import Bench
from resjax.lab.store import Store
from resjax.lab.view import view
from resjax.layers import Layers
from resjax.probes.ensembles import (
    cross_entropy,
    measure,
    measure_sub_networks,
    random_sub_networks,
    scores,
)
from resjax.system import interrupts
from resjax.system.errors import UserError
from resjax.training.evaluation import evaluate
from resjax.training.step import member


def systems(**options):
    """What the experiment averages."""
    return ensembles.trials(ensembles.Config(**options))


def test_the_blocks_of_a_deep_network_are_dealt_out_equally():
    found = systems(depths=(66,), members=(2, 4, 8), connections=("plain",), seeds=2)
    family = [system.trained for system in found if system.deep.seed == 1 and system.system in ("deep", "ensemble")]
    assert [building.network(trial, 10).length for trial in family] == [32, 16, 8, 4]
    assert [trial.num_seeds for trial in family] == [0, 2, 4, 8]
    assert [trial.seed for trial in family] == [1, 8, 8, 8]  # seed 0 has members 0 to 7


def test_the_controls_are_as_shallow_and_as_large_as_the_ensemble_and_trained_four_times_as_long():
    found = systems(depths=(66,), members=(8,), connections=("residual",), seeds=1)
    assert [(one.system, one.members) for one in found] == [
        ("deep", 1), ("longer", 1), ("ensemble", 8), ("wide", 1), ("sub-networks", 8),
    ]  # fmt: skip
    _, longer, ensemble, wide, _ = (one.trained for one in found)
    assert (longer.depth, longer.steps) == (66, 800)
    assert (wide.depth, wide.num_seeds) == (ensemble.depth, 0) == (10, 0)

    def dense(width):  # stem, 8 layers, head, with biases; 9 norms
        return 65 * width + 8 * (width + 1) * width + 10 * (width + 1) + 9 * 2 * width

    gaps = [abs(dense(width) - 8 * dense(64)) for width in (wide.width - 1, wide.width, wide.width + 1)]
    assert gaps[1] < min(gaps[0], gaps[2])


@pytest.mark.parametrize(("depth", "members"), ((66, 3), (66, 64), (67, 2)))
def test_blocks_that_cannot_be_dealt_out_are_refused(depth, members):
    with pytest.raises(UserError, match=f"--members={members}: the network of depth {depth} can not be dealt out"):
        systems(depths=(depth,), members=(members,))


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


@pytest.mark.parametrize(("left_out", "count"), ((0.0, 0), (0.25, 2), (1.0, 7)))
def test_sub_networks_are_without_a_share_of_the_blocks_that_can_be_deleted(left_out, count):
    network = models.resnet(20, width=2)  # of 9 blocks, 2 of which change the shape
    keep = random_sub_networks(network, left_out, members=5, seed=1)
    assert keep.shape == (5, 9) and ((~keep).sum(1) == count).all()
    assert keep[:, np.array(network.transitions)].all()
    assert (keep == random_sub_networks(network, left_out, members=5, seed=1)).all()


def test_an_ensemble_of_one_network_with_itself_is_that_network():
    network = models.dense(8, width=4)
    split = data.digits().test
    params, state = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *split.shape)))
    params = params | {"head": jax.tree.map(lambda leaf: 0.1 * leaf, params["head"])}  # far from the ends of (0, 1)
    one, twice = (measure(network, [(params, state)] * count, split) for count in (1, 2))
    subs = measure_sub_networks(network, params, state, split, np.ones((2, 3), bool))
    assert np.isnan(one["disagreement"]) and twice["disagreement"] == subs["disagreement"] == 0
    loss, accuracy = evaluate(network, params, state, split)
    for found in (one, twice, subs):
        np.testing.assert_allclose([found["loss"], found["accuracy"]], [loss, accuracy], rtol=1e-5)
    np.testing.assert_allclose(subs["lesion_loss"], one["lesion_loss"], rtol=1e-4)  # deleted in all members alike


def test_what_a_lesion_adds_is_not_rounded_away_where_members_are_sure():
    network = models.dense(8, width=4)
    split = data.digits().test
    members = []
    for seed in (0, 1):
        params, state = jax.jit(network.init)(jax.random.key(seed), jnp.zeros((1, *split.shape)))
        members.append((params | {"head": jax.tree.map(lambda leaf: 2 * leaf, params["head"])}, state))
    images, labels = split.take(jnp.arange(len(split)))

    def loss(*keeps):
        logits = [network.apply(*own, images, Layers(keep=keep))[0] for own, keep in zip(members, keeps, strict=True)]
        shares = np.mean([softmax(np.asarray(one, np.float64), axis=-1) for one in logits], axis=0)
        return -np.log(np.maximum(shares[np.arange(len(labels)), labels], 1e-30)).mean()

    every = jnp.ones(3, bool)
    pairs = [[every, every.at[block].set(False)][::order] for block in range(3) for order in (1, -1)]
    expected = np.mean([loss(*pair) for pair in pairs]) - loss(every, every)
    np.testing.assert_allclose(measure(network, members, split)["lesion_loss"], expected, rtol=1e-4)


@pytest.fixture
def bench(tmp_path):
    """A bench whose store is this test's."""
    store = Store(epath.Path(tmp_path / "store"))
    with view(1) as shown:
        yield Bench(store, interrupts.NEVER, shown, Ahead([], store.result))


@pytest.mark.slow
def test_what_is_measured_of_an_ensemble_is_a_loop_over_members_and_blocks(bench):
    config = ensembles.Config(width=8, steps=30, members=(2,), depths=(10,), learning_rate=0.05, seeds=1)
    system = ensembles.trials(config)[2]
    ((_, found),) = ensembles.rows(bench, system, config)
    snapshot = bench.snapshot(dataclasses.replace(system.trained, learning_rate=0.05))
    test = snapshot.data.test
    images, labels = test.take(jnp.arange(len(test)))

    def answer(at, keep=None):
        weights = member((snapshot.params, snapshot.state), at)
        return jax.nn.softmax(snapshot.network.apply(*weights, images, Layers(keep=keep))[0])

    whole = [answer(at) for at in (0, 1)]
    average = (whole[0] + whole[1]) / 2
    np.testing.assert_allclose(found["accuracy"], (average.argmax(-1) == labels).mean())
    np.testing.assert_allclose(found["loss"], log_loss(labels, average), rtol=1e-5)
    harmed = [(answer(at, jnp.arange(2) != block) + whole[1 - at]) / 2 for at in (0, 1) for block in (0, 1)]
    expected = np.mean([log_loss(labels, one) for one in harmed]) - log_loss(labels, average)
    np.testing.assert_allclose(found["lesion_loss"], expected, rtol=1e-4)


@pytest.mark.slow
def test_sub_networks_lose_their_share_of_blocks(bench):
    config = ensembles.Config(width=8, steps=30, members=(2,), depths=(18,), left_out=0.5, learning_rate=0.05)
    system = next(system for system in ensembles.trials(config) if system.system == "sub-networks")
    ((_, found),) = ensembles.rows(bench, system, config)
    ((_, whole),) = ensembles.rows(bench, system, dataclasses.replace(config, left_out=0.0))
    assert whole["disagreement"] == 0 and found["disagreement"] > 0 and found["loss"] > whole["loss"]
    np.testing.assert_allclose(
        whole["accuracy"], bench.train(dataclasses.replace(system.trained, learning_rate=0.05))["test_accuracy"]
    )


@dataclasses.dataclass
class Diverged:
    """A bench on which these members diverge, and which says what is measured of the others."""

    steps: list[int | None]

    def train(self, trial):
        return {"parameters": 100, "diverged": self.steps}

    def once(self, measure, trial, **options):
        return {"accuracy": options["sound"]}


@pytest.mark.parametrize(("steps", "sound"), (([3, 5], None), ([None, 5], [0])))
def test_members_that_diverged_are_counted_and_left_out(steps, sound):
    config = ensembles.Config(members=(2,), depths=(18,), learning_rate=0.05)
    ((_, found),) = ensembles.rows(Diverged(steps), ensembles.trials(config)[2], config)
    assert found["diverged"] == sum(step is not None for step in steps)
    assert found.get("accuracy") == sound and found["parameters"] == 200


def test_forward_flops_are_those_of_the_matrix_products():
    network = models.dense(22, width=256, norm=nn.NoNorm())
    products = 2 * 3 * (64 * 256 + 20 * 256 * 256 + 256 * 10)
    found = forward_flops(network, jnp.zeros((3, 8, 8, 1), jnp.float32))
    np.testing.assert_allclose(found, products, rtol=0.01)


@pytest.mark.slow
def test_the_experiment_judges_every_system_at_its_rate_of_least_training_loss(tmp_path):
    small = ("--depths=10", "--members=2", "--connections=residual", "--seeds=1", "--width=8", "--steps=20")
    code, _, err = run("ensembles", *small, "--learning_rates=0.001,0.05,30", f"--workdir={tmp_path}")
    assert code == 0, err
    table = pd.read_csv(tmp_path / "results.csv")
    assert table["system"].tolist() == ["deep", "longer", "ensemble", "wide", "sub-networks"]
    assert table["members"].tolist() == [1, 1, 2, 1, 2] and table["member_depth"].tolist() == [10, 10, 6, 6, 10]
    assert set(table["depth"]) == {10} and set(table["norm"]) == {"batch"} and set(table["seed"]) == {0}
    assert set(table["learning_rate"]) == {0.05} and not table["at_edge"].any()
