"""Sets that are drawn: a batch follows from key and step, labels are a plain loop's, nothing held out is seen."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resjax import data, fit, models
from resjax.data import tasks
from resjax.lab import plan
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

HOPS = data.hops(k=3, size=5)
KEY = jax.random.key(7)


def batch(found, key, step, size=64):
    """What a training step gets (images, labels)."""
    source = found.train.batches(size, (), jax.random.key(0)).at(step)
    return source.batch(key, jnp.int32(step))


def raw(split):
    """Examples as they were drawn, and labels."""
    return np.asarray(split.images), np.asarray(split.labels)


def test_key_and_step_decide_a_batch():
    for one, other in zip(batch(HOPS, KEY, 3), batch(HOPS, KEY, 3), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("key", "step"), ((KEY, 4), (jax.random.key(8), 3)))
def test_another_step_or_key_is_another_batch(key, step):
    iterated = data.iterated()
    assert not np.isin(batch(iterated, key, step)[0], batch(iterated, KEY, 3)[0]).any()


def test_no_training_example_is_held_out_or_in_the_fixed_sample():
    iterated = data.iterated()
    seen = np.concatenate([np.ravel(batch(iterated, KEY, step, 512)[0]) for step in range(20)])
    fixed = [np.ravel((split.images - split.mean) / split.std) for split in (iterated.train.sample, iterated.test)]
    points = np.concatenate([seen, *fixed])  # of 2^23: by chance some are equal, (n choose 2) / 2^23 pairs
    expected = len(points) ** 2 / 2 / 2**23
    assert abs(len(points) - len(np.unique(points)) - expected) < 5 * expected**0.5


def test_where_pointers_lead():
    images, labels = raw(HOPS.test)
    for image, label in zip(images[:200, :, :, 0], labels, strict=False):
        *table, at = (list(row).index(1) for row in image)
        for _ in range(3):
            at = table[at]
        assert at == label and image.sum() == 6


@pytest.mark.parametrize(("name", "step"), (
    ("tent", lambda x, y: (min(2 * x, 2 - 2 * x), min(2 * y, 2 - 2 * y))),
    ("logistic", lambda x, y: (4 * x * (1 - x), 4 * y * (1 - y))),
    ("cat", lambda x, y: ((2 * x + y) % 1, (x + y) % 1)),
))  # fmt: skip
def test_where_a_map_takes_a_point(name, step):
    points, labels = raw(data.iterated(map=name, times=3, dims=2).test)
    for point, label in zip(points[:500, 0, :, 0].astype(float).tolist(), labels, strict=False):
        for _ in range(3):
            point = step(*point)
        if min(abs(value - 0.5) for value in point) > 1e-5:  # float32 against float64
            assert (point[0] > 0.5) + 2 * (point[1] > 0.5) == label


def test_the_tent_maps_pieces_are_as_many_as_they_must_be():
    points, labels = raw(data.iterated(times=5).test)
    sorted_labels = labels[np.argsort(points.ravel())]
    assert (np.diff(sorted_labels) != 0).sum() == 2**5  # every linear piece goes through a half once


def test_training_examples_are_normalised_like_the_held_out_ones():
    images, _ = batch(HOPS, KEY, 0, 4096)
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=0.02)


@pytest.mark.parametrize("num_seeds", (0, 3))
def test_compiling_ahead_knows_the_shapes(num_seeds):
    key = jax.random.split(KEY, num_seeds) if num_seeds else KEY
    found = HOPS.train.batches(32, (), key).at(0)
    assert found.several is None
    known = HOPS.train.abstract(32, (), num_seeds)
    assert jax.tree.structure(found) == jax.tree.structure(known)
    assert list(map(jnp.shape, jax.tree.leaves(found))) == list(map(jnp.shape, jax.tree.leaves(known)))


def test_equal_tasks_are_one_program():
    assert tasks.Hops(2, 8) == tasks.Hops(2, 8) and hash(tasks.Hops(2, 8)) == hash(tasks.Hops(2, 8))


def test_training_taken_up_again_sees_the_batches_it_would_have_seen():
    batches = HOPS.train.batches(32, (), KEY)
    later = HOPS.train.batches(32, (), KEY)
    for step in range(9):
        batches.at(step)
    assert isinstance(batches, data.Batches) and isinstance(batches.at(0), data.Source)
    for one, other in zip(batches.at(9).batch(KEY, 9), later.at(9).batch(KEY, 9), strict=True):
        assert np.array_equal(one, other)


def test_the_first_examples_are_a_finite_set():
    first = HOPS.first(100)
    assert isinstance(first.train, data.Split) and len(first.train) == 100 and isinstance(HOPS.train, data.Examples)


def test_labels_of_a_set_that_is_drawn_cannot_be_random():
    with pytest.raises(ValueError, match="hops is drawn anew for every step"):
        HOPS.with_random_labels(0.5)


def test_a_network_learns_a_single_hop():
    found = fit(models.dense(4, 64), data.hops(k=1, size=3), optax.adam(0.01), steps=300, key=KEY)
    assert found.test_accuracy > 0.95


def test_several_networks_draw_with_their_own_keys():
    source = HOPS.train.batches(16, (), KEY).at(0)
    keys = jax.random.split(KEY, 2)
    together, _ = jax.vmap(source.batch, in_axes=(0, None))(keys, jnp.int32(5))
    for at in range(2):
        assert np.array_equal(together[at], source.batch(keys[at], jnp.int32(5))[0])


@pytest.mark.parametrize("name", ('iterated(map="cat", times=2,dims=2)', "hops(k=1,size=4)", "hops", "iterated"))
def test_a_command_line_names_them_with_arguments(name):
    assert plan.load(Trial(dataset=name)).train.draw


@pytest.mark.parametrize(("name", "says"), (
    ("hops(k=-1)", "k must be at least 0"),
    ("hops(size=1)", "size must be at least 2"),
    ("hops(size=20000)", "a sample of 16384 examples needs 47.7 TiB of memory or more"),
    ("hops(4)", "arguments must be key=literal"),
    ('hops(k="2")', "k=.2.: must be a whole number"),
    ('iterated(map="fold")', "map must be one of tent, logistic, cat"),
    ("iterated(times=17)", "times must be from 0 to 16"),
    ('iterated(map="cat")', "dims must be from 1 to 8, and even for cat"),
    ("hop(k=3)", "known are digits, mnist1d, hops, iterated, induction, text and the sets"),
))  # fmt: skip
def test_what_is_refused(name, says):
    with pytest.raises(UserError, match=says):
        plan.load(Trial(dataset=name))
