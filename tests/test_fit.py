"""`rj.fit` against a loop by hand, against the lab, and what it refuses."""

import math

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import close

import resjax as rj
from resjax.lab.plan import augmentations, plan, start
from resjax.lab.train import newest, train
from resjax.lab.trial import Trial, address
from resjax.training.evaluation import evaluate
from resjax.training.optimizers import sgd

KEY = jax.random.key(3)
SGD = optax.sgd(0.05, 0.9)
ADAMW = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2, eps=1e-3))  # biases before norms have no gradient
SMALL = rj.models.dense(4, width=8)  # with batch norm


class Attention(linen.Module):
    """A block that takes the examples of a batch for the words of a sentence."""

    @linen.compact
    def __call__(self, x, train: bool):
        return linen.MultiHeadDotProductAttention(num_heads=1)(x)


class Own(linen.Module):
    """A block that leaves every example to itself."""

    @linen.compact
    def __call__(self, x, train: bool):
        return x + jnp.tanh(linen.Dense(x.shape[-1])(x))


def toy(examples=90):
    """Three classes of noisy points with a mean of their own: N 5, and N labels."""
    draw = np.random.default_rng(0)
    labels = np.arange(examples) % 3
    return labels[:, None] + draw.normal(0, 0.3, (examples, 5)).astype(np.float32), labels


def by_hand(network, data, tx, steps, batch_size, key):
    """Parameters and state after so many steps, and the loss of each: batches without replacement, epoch by epoch."""
    images = (np.asarray(data.train.images, np.float32) - data.train.mean) / data.train.std
    params, state = network.init(rj.stream(key, "weights"), images[:1])
    momenta = tx.init(params)
    losses = []

    @jax.jit
    def loss_of(params, state, images, labels):
        logits, state, _ = network.apply(params, state, images, train=True)
        return -jax.nn.log_softmax(logits)[jnp.arange(batch_size), labels].mean(), state

    an_epoch = len(images) // batch_size
    for step in range(steps):
        epoch, place = divmod(step, an_epoch)
        order = jax.random.permutation(jax.random.fold_in(rj.stream(key, "order"), epoch), len(images))
        chosen = order[place * batch_size :][:batch_size]
        batch = images[chosen], data.train.labels[chosen]
        (loss, state), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, state, *batch)
        updates, momenta = tx.update(gradient, momenta, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss))
    return params, state, losses


@pytest.mark.parametrize("tx", (SGD, ADAMW), ids=("sgd", "adamw"))
def test_fit_is_a_loop_over_shuffled_batches(tx):
    data = rj.data.arrays(*toy())
    network = rj.models.dense(4, width=8, classes=3)
    result = rj.fit(network, data, tx, steps=12, batch_size=16, key=KEY, log_every=5)  # 75 examples: 4 steps an epoch
    params, state, losses = by_hand(network, data, tx, 12, 16, KEY)
    close((result.params, result.state), (params, state), 1e-4)
    assert result.history["step"].tolist() == [5, 10, 12] and (result.steps, result.diverged) == (12, None)
    np.testing.assert_allclose(
        result.history["loss"], [np.mean(part) for part in (losses[:5], losses[5:10], losses[10:])], rtol=1e-4
    )


def test_the_measures_are_those_of_the_whole_splits():
    images, labels = toy()
    data = rj.data.arrays(images, labels)
    result = rj.fit(rj.models.dense(4, width=8, classes=3), data, SGD, steps=40, batch_size=16, key=KEY)
    found = []
    for split in (data.train, data.test):
        inputs = (np.asarray(split.images, np.float32) - data.train.mean) / data.train.std
        logits, _, _ = result.network.apply(result.params, result.state, inputs)
        log_p = np.asarray(jax.nn.log_softmax(logits))
        found.append((-log_p[np.arange(len(split)), split.labels].mean(), (log_p.argmax(-1) == split.labels).mean()))
    expected = *found[0], found[1][1]
    np.testing.assert_allclose((result.train_loss, result.train_accuracy, result.test_accuracy), expected, rtol=1e-5)
    assert result.test_accuracy > 0.9 and result.parameters == 5 * 8 + 8 + 2 * (64 + 8 + 2 * 8) + 2 * 8 + 8 * 3 + 3


def test_callbacks_are_called_every_so_many_steps_with_where_training_stands():
    seen = []
    look = rj.Every(10, lambda progress: seen.append((progress.step, int(progress.train_state.step))))
    result = rj.fit(SMALL, rj.data.digits(), SGD, steps=25, key=KEY, callbacks=[look], log_every=10)
    assert seen == [(10, 10), (20, 20)] and result.history["step"].tolist() == [10, 20, 25]


def test_callbacks_change_nothing():
    data = rj.data.digits()
    images, _ = data.test.take(jnp.arange(9))

    def look(progress):
        SMALL.apply(progress.train_state.params, progress.train_state.state, images, train=True)

    runs = [rj.fit(SMALL, data, SGD, steps=8, key=KEY, callbacks=looks) for looks in ((), (rj.Every(3, look),))]
    assert same(*runs)


def same(one, other):
    """Whether two results are equal to the last bit."""
    leaves = zip(jax.tree.leaves((one.params, one.state)), jax.tree.leaves((other.params, other.state)), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves) and one.train_loss == other.train_loss


def test_equal_keys_give_equal_results_and_others_do_not():
    one, again, other = (rj.fit(SMALL, rj.data.digits(), SGD, steps=5, key=jax.random.key(seed)) for seed in (7, 7, 8))
    assert same(one, again) and not same(one, other)


@pytest.mark.parametrize("log_every", (1, 7, 1000))
def test_divergence_is_a_result(log_every):
    network = rj.models.dense(4, width=8, norm=rj.nn.NoNorm())
    result = rj.fit(network, rj.data.digits(), optax.sgd(1e20), steps=30, key=KEY, log_every=log_every)
    assert result.diverged == 2  # the loss at the initial weights is finite, the one after a step of 1e20 is not
    assert math.isnan(result.train_loss) and math.isnan(result.train_accuracy) and math.isnan(result.test_accuracy)
    assert "diverged=2" in repr(result)
    last = result.history.iloc[-1]
    assert last["step"] == 2 and math.isnan(last["loss"]) and len(result.history) == (2 if log_every == 1 else 1)


def test_a_block_that_mixes_the_batch_is_refused_and_one_that_does_not_is_not():
    with pytest.raises(ValueError, match=r"Attention makes one example of a batch depend on another .* first axis"):
        rj.fit(rj.models.dense(6, width=8, block=Attention()), rj.data.digits(), SGD, steps=1, key=KEY)
    result = rj.fit(rj.models.dense(6, width=8, block=Own()), rj.data.digits(), SGD, steps=1, key=KEY)
    assert result.steps == 1


@pytest.mark.parametrize(
    ("options", "says"),
    (
        ({"batch_size": 1501}, r"batch_size=1501: must be 1 to 1500, the training examples"),
        ({"batch_size": 0}, r"batch_size=0: must be 1 to 1500"),
        ({"steps": 0}, r"steps=0: must be at least 1"),
        ({"key": jnp.zeros(2, jnp.uint32)}, "key must be one of jax.random.key"),
    ),
)
def test_what_cannot_be_is_refused_and_no_flag_is_named(options, says):
    with pytest.raises(ValueError, match=says) as error:
        rj.fit(SMALL, rj.data.digits(), SGD, **{"steps": 1, "key": KEY} | options)
    assert "--" not in str(error.value)


@pytest.mark.parametrize(
    "choices", ({}, {"survival": "linear(last=0.5)", "augment": ("crop(pad=1)",), "connection": "dropout(rate=0.1)"})
)
def test_the_lab_and_fit_give_the_same_numbers(tmp_path, choices):
    trial = Trial(depth=6, width=8, steps=30, log_every=10, seed=3, **choices)
    result = train(trial, tmp_path)
    network, _, data, _, _ = plan(trial)
    drawn = augmentations(trial, data)
    found = rj.fit(network, data, sgd(trial.learning_rate), steps=30, key=KEY, augmentations=drawn)
    saved = newest(tmp_path, address(trial), start(plan(trial), trial))
    close((found.params, found.state), (saved.params, saved.state), tolerance=1e-5)  # two programs, in float32
    assert found.train_loss == pytest.approx(result["train_loss"], rel=1e-5)
    for name in ("parameters", "steps", "diverged", "train_accuracy", "test_accuracy"):
        assert getattr(found, name) == result[name], name


def largest(params, state, bound):
    """The largest norm of a layer of the branches as it computes, W / max(1, σ̂/c), in units of the bound c."""
    weights = params["stages"][0][0]["branch"]
    vectors = state["stages"][0][0]["spectral"]["branch"]
    found = []
    for name in ("Dense_0", "Dense_1"):
        (own,) = jax.tree.leaves(vectors[name])  # L D
        for kernel, vector in zip(
            *(np.asarray(each, np.float64) for each in (weights[name]["kernel"], own)), strict=True
        ):
            estimate = np.linalg.norm(vector @ kernel) / np.linalg.norm(vector)
            found.append(np.linalg.norm(kernel, 2) / max(1, estimate / bound) / bound)
    return max(found)


def test_spectral_norms_are_bounds_after_training_at_a_high_rate(tmp_path):
    rate = {"depth": 12, "width": 16, "norm": "none", "learning_rate": 0.5, "steps": 60, "log_every": 60}
    trial = Trial(**rate, spectral_norm=0.9)
    network, _, data, _, _ = plan(trial)
    moving = []
    look = rj.Every(60, lambda at: moving.append(largest(at.train_state.params, at.train_state.state, 0.9)))
    result = rj.fit(network, data, sgd(0.5), steps=60, key=jax.random.key(0), callbacks=[look])
    assert moving[0] > 1.01  # power iteration falls behind
    assert largest(result.params, result.state, 0.9) < 1.001
    assert evaluate(network, result.params, result.state, data.train)[0] == result.train_loss
    measured = train(trial, tmp_path)
    saved = newest(tmp_path, address(trial), start(plan(trial), trial))
    assert largest(saved.params, saved.state, 0.9) < 1.001 and measured["train_loss"] == result.train_loss


def test_a_network_of_names_is_the_one_of_objects():
    named = plan(Trial(network="resnet", depth=8, connection="rezero", norm="layer", survival="uniform(p=0.5)"))
    built = rj.models.resnet(
        8, connection=rj.nn.ReZero(), norm=rj.nn.LayerNorm(), remat=jax.checkpoint_policies.nothing_saveable
    )
    survival = rj.stochastic_depth.of([0.5] * 3, built.lengths)
    assert named.network == rj.Network(built.stem, built.stages, built.head, stochastic_depth=survival)
    assert hash(named.network) == hash(rj.Network(built.stem, built.stages, built.head, stochastic_depth=survival))
