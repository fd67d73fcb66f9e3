import dataclasses
import os
import pathlib
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
import tiny_set
from absl import flags
from helpers import StopAt, same_results
from PIL import Image

from resjax import data
from resjax.data import crop, sources, streaming
from resjax.lab import registry
from resjax.lab.train import train
from resjax.lab.trial import Trial
from resjax.system.errors import Stopped, UserError

AUGMENTATIONS = (crop.resized_crop(), crop.flip())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    tiny_set.prepare(folder)
    return str(folder)


@pytest.fixture
def tiny(data_dir):
    return data.load("tiny_set", data_dir, image_size=16, workers=0)


def test_images_of_different_sizes_are_streamed_and_cropped_to_one(tiny):
    assert isinstance(tiny.train, data.Stream) and tiny.streamed and tiny.classes == tiny_set.EXAMPLES
    seen = [(images, labels) for images, labels in tiny.test.all(10)]
    assert [images.shape for images, _ in seen] == 3 * [(10, 16, 16, 3)]
    labels = np.concatenate([labels for _, labels in seen])
    assert sorted(labels[: tiny_set.EXAMPLES]) == list(range(tiny_set.EXAMPLES))
    assert np.array_equal(labels[tiny_set.EXAMPLES :], labels[:6])  # filled up from the start
    pixels = np.concatenate([images for images, _ in seen]) * streaming.STD + streaming.MEAN
    np.testing.assert_allclose(pixels, np.broadcast_to(10 * labels[:, None, None, None], pixels.shape), atol=1e-3)


def test_an_epoch_sees_every_example_once_and_another_iterator_goes_on_at_any_step(tiny):
    def labels(batches, steps):
        return [np.asarray(batches.at(step).labels) for step in range(steps)]

    batches = tiny.train.batches(8, AUGMENTATIONS, jax.random.key(3))
    assert isinstance(batches, data.Batches)
    first = labels(batches, 3)
    rest = [batches.at(step) for step in range(3, 7)]
    assert sorted(np.concatenate(first)) == list(range(tiny_set.EXAMPLES))
    again = tiny.train.batches(8, AUGMENTATIONS, jax.random.key(3))
    assert same([again.at(step) for step in range(3, 7)], rest)
    other = np.concatenate(labels(tiny.train.batches(8, AUGMENTATIONS, jax.random.key(4)), 3))
    assert not np.array_equal(other, np.concatenate(first))


def same(found, expected):
    pairs = zip(found, expected, strict=True)
    return all(np.array_equal(x.labels, y.labels) and np.array_equal(x.images, y.images) for x, y in pairs)


def test_every_process_reads_its_own_part_of_each_batch_as_it_is_in_the_whole(tiny, monkeypatch):
    class Parts:
        """A layout that leaves a process's part of the batch as it is."""

        share = staticmethod(lambda part: part)
        put = staticmethod(lambda tree: tree)

    def all_of(split):
        batches = split.batches(8, AUGMENTATIONS, jax.random.key(3))
        streamed = [batches.at(step) for step in range(4)]
        return [(batch.images, batch.labels) for batch in streamed] + list(split.all(10))

    whole = all_of(tiny.train)
    parts = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        parts.append(all_of(dataclasses.replace(tiny.train, layout=Parts)))
    for expected, first, second in zip(whole, *parts, strict=True):
        for leaf, *halves in zip(expected, first, second, strict=True):
            assert np.array_equal(leaf, np.concatenate(halves))


def test_worker_processes_give_the_same_batches(tiny):
    flags.FLAGS.mark_as_parsed()  # Grain looks at absl's
    split = dataclasses.replace(tiny.train, workers=2)
    with_and_without = (one.batches(8, AUGMENTATIONS, jax.random.key(3)) for one in (split, tiny.train))
    assert same(*([batches.at(step) for step in range(5, 9)] for batches in with_and_without))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_augmentations_can_be_sent_to_worker_processes(augmentation):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    sent = pickle.loads(pickle.dumps(augmentation))
    one, other = (np.asarray(change(np.random.default_rng(5), image, (3, 3))) for change in (augmentation, sent))
    assert np.array_equal(one, other)


def test_several_networks_get_the_batches_of_the_first_ones_key(tiny):
    keys = jax.vmap(jax.random.key)(jnp.arange(3, 5))
    several, one = (tiny.train.batches(8, AUGMENTATIONS, key) for key in (keys, jax.random.key(3)))
    assert same([several.at(0)], [one.at(0)]) and several.at(1).several is None


def test_the_first_examples_of_a_stream(tiny):
    ((_, first),) = tiny.first(8).train.all(8)
    ((_, whole),) = tiny.train.all(tiny_set.EXAMPLES)
    assert np.array_equal(first, whole[:8])
    with pytest.raises(ValueError, match="tiny_set has 24 training images"):
        tiny.first(25)


def test_a_batch_larger_than_the_set_is_refused(tiny):
    with pytest.raises(ValueError, match="a batch must be of 1 to 24 training images, not of 25"):
        tiny.train.batches(25, (), jax.random.key(0))


def test_a_set_that_is_streamed_cannot_have_random_labels(tiny):
    with pytest.raises(ValueError, match="tiny_set is streamed; use a set that fits on the device"):
        tiny.with_random_labels(0.5)


def test_a_set_that_is_too_large_is_streamed(monkeypatch):
    monkeypatch.setattr(sources, "IN_MEMORY_BYTES", 0)
    with tfds.testing.mock_data(num_examples=12):
        large = data.load("svhn_cropped", "elsewhere", image_size=24)
    assert large.streamed and large.train.shape == (24, 24, 3)


@pytest.mark.parametrize("how", ("killed", "left"))
def test_readers_end_with_the_process_that_they_read_for(data_dir, how):
    script = pathlib.Path(__file__).parent / "reading_and_killed.py"
    command = [sys.executable, script, data_dir, how]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, timeout=300, check=False)
    assert done.stdout == b"read\n" and done.returncode == (-9 if how == "killed" else 7)  # nobody holds the pipe


@pytest.mark.slow
def test_a_stopped_run_on_a_stream_goes_on_to_the_same_result_with_other_readers(data_dir, tmp_path):
    trial = Trial(
        dataset="tiny_set",
        data_dir=data_dir,
        image_size=8,
        depth=4,
        width=8,
        batch_size=8,
        steps=12,
        augment=("flip",),
        readers=1,
    )
    flags.FLAGS.mark_as_parsed()  # Grain looks at absl's
    undisturbed = train(trial, tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        train(trial, tmp_path / "stopped", StopAt(5))
    goes_on = dataclasses.replace(trial, readers=0)
    assert same_results(train(goes_on, tmp_path / "stopped"), undisturbed)


@pytest.mark.parametrize("name", ("crop(pad=4)", "rotate"))
def test_an_unknown_name_is_refused(name):
    with pytest.raises(UserError, match=r"unknown augmentation of streamed images .*known are .*resized_crop, flip"):
        registry.augmentations((name,), streamed=True)


def test_a_set_of_another_version_is_refused(tmp_path):
    (tmp_path / "tiny_set" / "1.0.0").mkdir(parents=True)
    with pytest.raises(data.NotPrepared, match=r"is prepared as version 1\.0\.0 in .*, version 1\.2\.0 is needed"):
        data.load("tiny_set", str(tmp_path))


def test_compiling_ahead_knows_the_shapes(tiny):
    shapes = tiny.train.abstract(8, ())
    streamed = tiny.train.batches(8, (), jax.random.key(0)).at(0)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), streamed
    )
    assert streamed.images.dtype == jnp.uint8
