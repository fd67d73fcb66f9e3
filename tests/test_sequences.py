"""Tokens reach a training step as the integers that they are, with a target each; what carries data is no constant."""

import dataclasses

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
from resjax.data.generated import Fresh, Generated
from resjax.lab import rehearsal
from resjax.system.sharding import Layout

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
