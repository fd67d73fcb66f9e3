import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_set
from helpers import StopAt
from PIL import Image

from resjax import cuts, data, stream, train
from resjax.config import Point
from resjax.errors import Stopped, UserError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    tiny_set.prepare(folder)
    return str(folder)


@pytest.fixture
def tiny(data_dir):
    return data.load("tiny_set", data_dir, image_size=16, workers=0)


def test_images_of_different_sizes_are_streamed_and_cut_to_one(tiny):
    assert isinstance(tiny.train, stream.Stream) and tiny.classes == tiny_set.EXAMPLES
    seen = [(images, labels) for images, labels in tiny.test.all(10)]
    assert [images.shape for images, _ in seen] == 3 * [(10, 16, 16, 3)]
    labels = np.concatenate([labels for _, labels in seen])
    assert sorted(labels[: tiny_set.EXAMPLES]) == list(range(tiny_set.EXAMPLES))
    assert np.array_equal(labels[tiny_set.EXAMPLES :], labels[:6])  # filled up from the start
    pixels = np.concatenate([images for images, _ in seen]) * stream.STD + stream.MEAN
    np.testing.assert_allclose(pixels, np.broadcast_to(10 * labels[:, None, None, None], pixels.shape), atol=1e-3)


def test_an_epoch_sees_every_example_once_and_a_restored_iterator_goes_on(tiny):
    def labels(batches, steps):
        return [np.asarray(batches.at(step).labels) for step in range(steps)]

    changes = ("resized_crop", "flip")
    batches = tiny.train.batches(8, changes, seed=3)
    first, place, rest = labels(batches, 3), batches.state(), [batches.at(step) for step in range(4)]
    assert sorted(np.concatenate(first)) == list(range(tiny_set.EXAMPLES))
    again = tiny.train.batches(8, changes, seed=3)
    again.restore(place)
    assert same([again.at(step) for step in range(4)], rest)
    other = np.concatenate(labels(tiny.train.batches(8, changes, seed=4), 3))
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
        batches = split.batches(8, ("resized_crop", "flip"), seed=3)
        given = [batches.at(step) for step in range(4)]
        return [(batch.images, batch.labels) for batch in given] + list(split.all(10))

    whole, parts = all_of(tiny.train), []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        parts.append(all_of(dataclasses.replace(tiny.train, layout=Parts)))
    for expected, first, second in zip(whole, *parts, strict=True):
        for leaf, *halves in zip(expected, first, second, strict=True):
            assert np.array_equal(leaf, np.concatenate(halves))


def test_worker_processes_give_the_same_batches(tiny):
    split, changes = dataclasses.replace(tiny.train, workers=2), ("resized_crop", "flip")
    with_and_without = (one.batches(8, changes, seed=3) for one in (split, tiny.train))
    assert same(*([batches.at(step) for step in range(4)] for batches in with_and_without))


def test_a_place_of_another_number_of_workers_is_refused(tiny):
    batches = tiny.train.batches(8, ("none",), seed=3)
    with pytest.raises(UserError, match="--workers=0: the checkpoint is of a run with 3"):
        batches.restore(batches.state() | {"workers": 3})


@pytest.mark.slow
def test_a_stopped_run_on_a_stream_goes_on_to_the_same_result(data_dir, tmp_path):
    point = Point(
        dataset="tiny_set",
        data_dir=data_dir,
        image_size=8,
        depth=4,
        width=8,
        batch_size=8,
        steps=12,
        augment=("flip",),
        workers=1,
    )
    undisturbed, _ = train.fit(point, tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        train.fit(point, tmp_path / "stopped", StopAt(5))
    assert train.fit(point, tmp_path / "stopped")[0] == undisturbed


def test_a_resized_crop_is_a_part_of_the_image_of_the_given_area():
    y, x = np.mgrid[:100, :200]  # a pixel's colour says where it is
    image = Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))
    rng, areas = np.random.default_rng(0), []
    for _ in range(50):
        part = np.asarray(cuts.build("resized_crop(area=(0.2,0.4))")(rng, image, (64, 64)), float)
        assert part.shape == (64, 64, 3)
        spans = [(part[..., axis].max() - part[..., axis].min()) * 64 / 63 for axis in (0, 1)]
        areas.append(np.prod(spans) / 20_000)
    assert 0.17 < min(areas) < 0.25 and 0.35 < max(areas) < 0.43


def test_the_middle_is_seven_eighths_of_the_shorter_side():
    image = np.zeros((80, 120, 3), np.uint8)
    image[5:75, 25:95] = 200  # 70 of 80 pixels
    cut = cuts.cut_out({"image": image, "label": 1}, shape=(32, 32, 3))["image"]
    assert (cut[1:-1, 1:-1] == 200).all() and (cut > 100).all()  # the edge is mixed with what is around


@pytest.mark.parametrize("change", ("crop(pad=4)", "rotate"))
def test_an_unknown_change_is_refused(data_dir, change):
    point = Point(dataset="tiny_set", data_dir=data_dir, image_size=8, batch_size=8, augment=(change,))
    with pytest.raises(UserError, match=r"unknown change of streamed images .*known are none, resized_crop, flip"):
        train.plan(point)


def test_a_set_of_another_version_is_refused(data_dir, tmp_path):
    (tmp_path / "tiny_set" / "1.0.0").mkdir(parents=True)
    with pytest.raises(UserError, match=r"is prepared as version 1\.0\.0 in .*, version 1\.2\.0 is needed"):
        data.load("tiny_set", str(tmp_path))


def test_compiling_ahead_knows_the_shapes(tiny):
    shapes = tiny.train.abstract(8, ("none",))
    given = tiny.train.batches(8, ("none",), seed=0).at(0)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), given
    )
    assert given.images.dtype == jnp.uint8
