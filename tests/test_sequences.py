"""Tokens reach a training step as the integers that they are, with a target each; what carries data is no constant."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.tree_util import Partial

from resjax import data, fit, models
from resjax.data import augment, tasks
from resjax.data.draws import Fresh, Generated
from resjax.lab import rehearsal
from resjax.system.sharding import Layout
from resjax.training import evaluation
from resjax.training.tasks import LANGUAGE_MODEL

KEY = jax.random.key(3)
TOKENS = np.random.default_rng(0).integers(0, 11, (40, 6))
NEXT = (TOKENS + 1) % 11


def tokens(labels=NEXT):
    """A split of 40 sequences of 6 tokens, which are bytes."""
    return data.Split(jnp.asarray(TOKENS, jnp.uint8), jnp.asarray(labels, jnp.int32), None, None)


def shifted(text, key):
    """Four bytes of a text, from a random place on, and those that follow them."""
    window = text[jax.random.randint(key, (), 0, len(text) - 4, jnp.int32) + jnp.arange(5)]
    return window[:-1], window[1:].astype(jnp.int32)


def of_text(text, draw=shifted):
    """A split that is drawn from a text; the fixed sample is what it begins with."""
    start = jnp.arange(8)[:, None] + jnp.arange(5)
    sample = data.Split(text[start][:, :-1], text[start][:, 1:].astype(jnp.int32), None, None)
    return Generated(Partial(draw, text), sample)


def test_a_batch_of_tokens_is_the_tokens_and_their_targets():
    source = tokens().batches(8, (), KEY).at(3)
    inputs, targets = source.batch(KEY, jnp.int32(3))
    chosen = np.asarray(source.order)[24:32]
    assert np.array_equal(inputs, TOKENS[chosen]) and np.array_equal(targets, NEXT[chosen])
    assert inputs.dtype == targets.dtype == jnp.int32


@pytest.mark.parametrize("split", (
    data.digits().train,
    data.mnist1d().test,
    data.hops(k=1, size=4).train,
    tokens(),
    tokens(TOKENS[:, 0]),
    of_text(jnp.arange(90, dtype=jnp.uint8)),
), ids=("images", "curves", "drawn", "tokens", "classes", "text"))  # fmt: skip
def test_an_example_is_what_a_step_gets_and_what_evaluation_looks_at(split):
    source = split.abstract(4, ())
    for batch in (lambda: source.batch(KEY, jnp.int32(0)), lambda: next(split.all(4))):
        found = jax.eval_shape(batch)
        assert [(leaf.shape[1:], leaf.dtype) for leaf in found] == [(leaf.shape, leaf.dtype) for leaf in split.example]
    assert split.shape == split.example[0].shape


def test_long_sequences_are_evaluated_two_at_a_time_and_each_once():
    ids = jnp.asarray(np.random.default_rng(1).integers(0, 5, (5, 256)), jnp.int32)
    targets = ids[:, ::-1]
    split = data.Split(ids.astype(jnp.uint8), targets, None, None)
    network = models.transformer(6, width=2, heads=1, vocabulary=5)
    params, state = network.init(KEY, ids[:1])
    logits, _, _ = network.apply(params, state, ids)
    losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)
    loss, _ = evaluation.evaluate(network, params, state, split, task=LANGUAGE_MODEL)
    assert evaluation.batch_size(split) == 2
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)


def test_inputs_and_targets_are_as_many_examples():
    found = data.Dataset(tokens(), tokens(), 11)
    assert (found.inputs(5).shape, found.inputs(5).dtype) == ((5, 6), jnp.int32)
    assert (found.targets(5).shape, found.targets(5).dtype) == ((5, 6), jnp.int32)
    assert (data.digits().inputs(2).shape, data.digits().inputs(2).dtype) == ((2, 8, 8, 1), jnp.float32)
    assert (data.digits().targets(2).shape, data.digits().targets(2).dtype) == ((2,), jnp.int32)


class Embedding(nn.Module):
    """Refuses what is no integer; B T -> B D, the sum over the tokens."""

    @nn.compact
    def __call__(self, x, train):
        assert x.dtype == jnp.int32, x.dtype
        return nn.Embed(11, 16)(x).sum(1)


def test_a_network_that_takes_integers_alone_is_trained_on_tokens():
    network = dataclasses.replace(models.dense(4, 16, classes=2), stem=Embedding())
    split = tokens(TOKENS[:, 0] > 5)
    assert fit(network, data.Dataset(split, split, 2), optax.sgd(0.1), steps=1, batch_size=20, key=KEY).steps == 1


@pytest.mark.parametrize("augmentation", (augment.crop(), augment.flip()))
def test_tokens_are_neither_cropped_nor_flipped(augmentation):
    with pytest.raises(ValueError, match=r"for images B H W C, not for examples of shape \(6,\)"):
        rehearsal.augmented((augmentation,), data.Dataset(tokens(), tokens(), 11), 4)
    with pytest.raises(ValueError, match=r"for images B H W C, not for examples of shape \(6,\)"):
        tokens().batches(4, (augmentation,), KEY).at(0).batch(KEY, jnp.int32(0))


def test_random_labels_are_drawn_for_each_token():
    found = data.Dataset(tokens(), tokens(), 11).with_random_labels(0.5).train.labels
    share = (np.asarray(found) != NEXT).mean()  # a label can be drawn again
    assert found.shape == NEXT.shape and abs(share - 0.5 * 10 / 11) < 5 * (0.25 / NEXT.size) ** 0.5


def test_random_labels_are_no_numbers():
    split = dataclasses.replace(tokens(), labels=jnp.ones((40, 2), jnp.float32))
    with pytest.raises(ValueError, match="has targets of float32"):
        data.Dataset(split, split, 2).with_random_labels(0.5)


def test_two_texts_of_one_length_share_one_program():
    traces = []

    def draw(text, key):
        traces.append(text)
        return shifted(text, key)

    texts = [jnp.asarray(np.random.default_rng(seed).integers(0, 256, 5000), jnp.uint8) for seed in range(2)]
    step = jax.jit(Fresh.batch)
    for text in texts:
        inputs, targets = step(of_text(text, draw).batches(6, (), KEY).at(0), KEY, jnp.int32(4))
        windows = np.lib.stride_tricks.sliding_window_view(np.asarray(text), 5)
        for window in np.concatenate([inputs, targets[:, -1:]], 1):
            assert (windows == window).all(1).any()  # they were drawn from this text, not from the other
    assert len(traces) == 1


def test_a_text_is_no_constant_of_the_program():
    source = of_text(jnp.asarray(np.random.default_rng(0).integers(0, 256, 5000), jnp.uint8)).abstract(6, ())
    program = jax.make_jaxpr(Fresh.batch)(source, KEY, jnp.int32(0))
    assert sum(np.size(constant) for constant in program.consts) < 100


def test_what_a_draw_carries_is_placed_on_the_devices_of_a_layout():
    layout = Layout(jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,)))
    split = of_text(jnp.arange(90, dtype=jnp.uint8))
    placed = split.on(layout)
    assert placed.draw.args[0].sharding == placed.sample.images.sharding == jax.NamedSharding(layout.mesh, jax.P())
    for one, other in zip(*(each.abstract(4, ()).batch(KEY, jnp.int32(2)) for each in (split, placed)), strict=True):
        assert np.array_equal(one, other)


def test_a_draw_that_carries_nothing_is_as_it_was():
    plain = data.hops(k=1, size=4).train
    wrapped = dataclasses.replace(plain, draw=Partial(tasks.Hops(1, 4)))
    first, second = (jax.tree.structure(each.abstract(4, ())) for each in (plain, wrapped))
    assert first == second and hash(first) == hash(second)


def test_sequences_are_held_on_the_device_as_they_are():
    found = data.sequences(TOKENS, NEXT, 11, (TOKENS[:5].tolist(), jnp.asarray(NEXT[:5], jnp.uint8)))
    assert found.classes == 11 and not found.streamed
    for split, count in ((found.train, 40), (found.test, 5)):
        inputs, targets = next(split.all(count))
        assert np.array_equal(inputs, TOKENS[:count]) and np.array_equal(targets, NEXT[:count])
        assert inputs.dtype == targets.dtype == jnp.int32


def test_a_sixth_of_the_sequences_is_held_out():
    found = data.sequences(TOKENS, NEXT, 11)
    parts = [np.concatenate([split.images, split.labels], 1) for split in (found.train, found.test)]
    assert list(map(len, parts)) == [34, 6]
    whole = np.concatenate([TOKENS, NEXT], 1)
    assert sorted(map(tuple, np.concatenate(parts))) == sorted(map(tuple, whole))


def changed(array, at, value):
    """The array with another value there."""
    array = array.copy()
    array[at] = value
    return array


@pytest.mark.parametrize(("arguments", "says"), (
    ((TOKENS * 1.0, NEXT, 11), "inputs must be integers, not float64"),
    ((TOKENS, NEXT == 1, 11), "targets must be integers, not bool"),
    ((TOKENS[0], NEXT[0], 11), r"inputs must be N T, and not empty: their shape is \(6,\)"),
    ((TOKENS[:0], NEXT[:0], 11), r"inputs must be N T, and not empty: their shape is \(0, 6\)"),
    ((TOKENS, NEXT[:, 0], 11), r"targets must be N T, and not empty: their shape is \(40,\)"),
    ((TOKENS, NEXT[:, 1:], 11), "inputs and targets must be N T alike: their shapes are 40 6 and 40 5"),
    ((TOKENS, NEXT[1:], 11), "inputs and targets must be N T alike: their shapes are 40 6 and 39 6"),
    ((changed(TOKENS, (7, 2), 11), NEXT, 11), "inputs must be from 0 to 10: token 2 of example 7 is 11"),
    ((TOKENS, changed(NEXT, (3, 5), -1), 11), "targets must be from 0 to 10: token 5 of example 3 is -1"),
    ((TOKENS, NEXT, 11, (TOKENS, changed(NEXT, (1, 0), 99))), "test targets must be from 0 to 10: token 0 of"),
    ((TOKENS, NEXT, 11, (TOKENS[:, 1:], NEXT[:, 1:])), "test inputs are n 5, but training inputs are N 6"),
    ((TOKENS, NEXT, 0), "vocabulary=0: must be at least 1"),
    ((TOKENS[:5], NEXT[:5], 11), "5 examples are too few to hold out a sixth"),
))  # fmt: skip
def test_sequences_that_cannot_be(arguments, says):
    with pytest.raises(ValueError, match=says):
        data.sequences(*arguments)


def test_a_draw_with_a_label_for_every_token_gives_tokens():
    found = tasks.generated(functools.partial(shifted, jnp.arange(90, dtype=jnp.uint8)), 256, "mine", examples=12)
    assert len(found.train) == len(found.test) == 12 and found.train.example == found.test.example
    assert found.inputs(3) == found.targets(3) == jax.ShapeDtypeStruct((3, 4), jnp.int32)


def test_a_draw_that_gives_a_number_in_the_place_of_a_label_is_refused():
    with pytest.raises(ValueError, match="mine: a draw must give a label, an integer, not float32"):
        tasks.generated(lambda key: (jnp.ones((2, 2, 1)), jnp.float32(0.5)), 1, "mine", examples=12)


def given(train, test=None):
    """The first example of a data set of one's own, which has 11 classes."""
    return data.given(data.Dataset(train, test or train, 11), "mine").train.example


def test_a_data_set_of_ones_own_may_have_tokens():
    assert given(tokens()) == tokens().example
    assert given(of_text(jnp.arange(90, dtype=jnp.uint8) % 11)) == (jax.ShapeDtypeStruct((4,), jnp.int32),) * 2
    assert given(tokens(TOKENS[:, 0]))[1] == jax.ShapeDtypeStruct((), jnp.int32)


@pytest.mark.parametrize(("train", "test", "says"), (
    (tokens(changed(NEXT, (2, 1), 11)), None, "mine: train targets must be from 0 to 10: token 1 of example 2 is 11"),
    (tokens(), tokens(TOKENS[:, 0]), r"its test has examples of shape \(6,\) int32 and targets \(\) int32, but they"),
    (tokens(TOKENS[:, 0] + 1), None, "mine: train labels must be from 0 to 10: that of example \\d+ is 11"),
))  # fmt: skip
def test_a_data_set_of_ones_own_with_tokens_is_checked(train, test, says):
    with pytest.raises(ValueError, match=says):
        given(train, test)
