"""What every data set must be: each example here is the smallest that is not, or one that is mended."""

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import flags
from small_sets import COLOR, FIXED, LABEL, examples, flat, load, png, prepare

from resjax import data
from resjax.data import crop
from resjax.data.pictures import Form
from resjax.data.sources import assembled
from resjax.data.validate import Checked, Unusable

SCALAR = tfds.features.Scalar(np.float32)
TRAIN = examples(12)


@pytest.mark.parametrize(
    ("features", "says"),
    (
        ({"image": COLOR, "label": SCALAR}, "its feature label must be a ClassLabel, not Scalar"),
        ({"image": COLOR, "label": tfds.features.Text()}, "must be a ClassLabel, not Text"),
        ({"image": SCALAR, "label": LABEL}, "its feature image must be an Image, not Scalar"),
        ({"image": tfds.features.Sequence(COLOR), "label": LABEL}, "must be an Image, not Sequence"),
        ({"picture": COLOR, "label": LABEL}, "is no image classification: its features are picture, label"),
    ),
)
def test_features_of_another_type_are_refused(tmp_path, features, says, monkeypatch):
    class Named:
        """What `tfds.builder` gives, without files: their features are refused before any is looked for."""

        info = type("Info", (), {"features": tfds.features.FeaturesDict(features)})

    monkeypatch.setattr(tfds, "builder", lambda *_, **__: Named)
    with pytest.raises(ValueError, match=says):
        load(tmp_path, "other")


@pytest.mark.parametrize("values", (np.linspace(1000, 5000, 12).astype(np.uint16), np.linspace(0.2, 0.3, 12)))
def test_a_stream_that_is_not_uint8_has_statistics_of_its_own(values):
    source = [{"image": np.full((10, 10 + at, 1), values[at]), "label": 0} for at in range(12)]
    form = Form((10, None, 1), values.dtype.name)
    train = assembled("own", {"train": source, "test": source}, form, 2, data.Wanted(image_size=10)).train
    images, _ = next(train.all(12))
    weights = 10.0 + np.arange(12)  # pixels of each
    mean = np.average(values.astype(float), weights=weights)
    std = np.average((values - mean) ** 2, weights=weights) ** 0.5
    expected = (values - mean) / std
    np.testing.assert_allclose(images, np.broadcast_to(expected[:, None, None, None], images.shape), atol=1e-4)
    assert train.abstract(4, ()).images.dtype == train.batches(4, (), jax.random.key(0)).at(0).images.dtype == "float32"


def test_a_prepared_set_of_16_bits_is_read(tmp_path):
    own = tfds.features.Image(shape=(None, None, 1), dtype=np.uint16)
    rows = examples(12, image=lambda index: png(np.full((4, 5), 5000 * index, np.uint16)))
    prepare(tmp_path, image=own, train=rows, test=rows)
    source = load(tmp_path).train.source
    pixels = [source[index]["image"].max() for index in range(12)]
    assert pixels == [5000 * index for index in range(12)]


def test_the_channels_of_an_image_that_is_not_uint8_are_augmented_alike():
    colors = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    changes = {"shape": (8, 8, 3), "augmentations": (crop.resized_crop(), crop.flip())}
    seen = [
        crop.cropped({"image": image, "label": 0}, np.random.default_rng(7), **changes)["image"].astype(float)
        for image in (colors, colors.astype(np.float32))
    ]
    np.testing.assert_allclose(*seen, atol=1)  # uint8 is rounded


def test_grey_pictures_among_colours_have_three_equal_channels(tmp_path):
    grey = flat(7)
    color = png(np.full((5, 5, 3), (10, 20, 30), np.uint8))
    palette = png(np.full((5, 5, 3), (0, 0, 255), np.uint8), "P")
    rows = examples(3, image=lambda index: (grey, color, palette)[index])
    prepare(tmp_path, image=COLOR, train=rows, test=rows)
    images, _ = next(load(tmp_path).train.all(3))
    pixels = np.asarray(images * np.array(data.streaming.STD) + np.array(data.streaming.MEAN))[:, 0, 0]
    np.testing.assert_allclose(pixels, [(70, 70, 70), (10, 20, 30), (0, 0, 255)], atol=3)


def test_a_missing_file_is_named(tmp_path):
    folder = prepare(tmp_path, train=TRAIN, test=examples(2))
    (shard,) = folder.glob("small-train*")
    info = (folder / "dataset_info.json").read_text()
    (folder / "dataset_info.json").write_text(info.replace('"12"', '"6",\n        "6"'))
    shard.rename(folder / "small-train.array_record-00000-of-00002")
    with pytest.raises(ValueError, match=r"dataset 'small': .*-00001-of-00002 is missing, one of the 2 files of train"):
        load(tmp_path)


@pytest.mark.parametrize("damage", (lambda content: b"", lambda content: content[:100], lambda content: 64 * b"\0"))
def test_a_damaged_file_is_named_with_its_set(tmp_path, damage):
    folder = prepare(tmp_path, **FIXED, train=examples(12, image=flat), test=examples(2, image=flat))
    (shard,) = folder.glob("small-train*")
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(ValueError, match=r"small, split train: example \d+ cannot be read: "):
        load(tmp_path)


def truncated(index):
    return TRAIN[index]["image"] if index != 7 else TRAIN[index]["image"][:-30]


@pytest.mark.parametrize("workers", (0, 1))
def test_a_truncated_picture_is_named_wherever_it_is_read(tmp_path, workers):
    prepare(tmp_path, train=examples(12, image=truncated), test=examples(2))
    flags.FLAGS.mark_as_parsed()  # Grain looks at absl's
    batches = load(tmp_path, workers=workers).train.batches(4, (), jax.random.key(0))
    with pytest.raises(Unusable, match=r"small, split train: example 7 cannot be read: "):
        for step in range(3):
            batches.at(step)


def test_an_augmentation_that_fails_in_a_worker_is_told(tmp_path):
    prepare(tmp_path, train=TRAIN, test=examples(2))
    flags.FLAGS.mark_as_parsed()
    batches = load(tmp_path, workers=1).train.batches(4, (failing,), jax.random.key(0))
    with pytest.raises(Unusable, match=r"example \d+: no such colour"):
        batches.at(0)


def failing(rng, image, size):
    raise RuntimeError("no such colour")


@pytest.mark.parametrize(
    ("image", "label", "says"),
    (
        (np.full((2, 2, 1), np.nan), 0, "example 1 has pixels that are not finite"),
        (np.full((2, 2, 1), 1e300), 0, "example 1 has pixels that are not finite"),
        (np.ones((2, 2)), 0, r"example 1 must be an image of 1 channels: its shape is \(2, 2\)"),
        (np.ones((2, 2, 3)), 0, r"example 1 must be an image of 1 channels: its shape is \(2, 2, 3\)"),
        (np.ones((2, 0, 1)), 0, "example 1 must be an image"),
        (np.ones((2, 2, 1)), -1, "example 1: its label must be from 0 to 2, not -1"),
        (np.ones((2, 2, 1)), 3, "example 1: its label must be from 0 to 2, not 3"),
        (np.ones((2, 2, 1)), 0.5, r"example 1: its label must be from 0 to 2, not 0\.5"),
        (np.ones((2, 2, 1)), [0], "example 1: its label must be from 0 to 2, not"),
    ),
)
def test_an_example_that_cannot_be_is_named(image, label, says):
    source = [{"image": np.zeros((2, 2, 1)), "label": 0}, {"image": image, "label": label}]
    checked = Checked(source, "this set", 1, 3)
    assert checked[0]["label"] == 0 and len(checked) == 2
    with pytest.raises(Unusable, match=says):
        checked[1]


def test_a_value_that_float32_cannot_hold_is_not_finite():
    images = np.ones((12, 3))
    images[5, 1] = 1e39
    with pytest.raises(ValueError, match="images have values that are not finite: example 5"):
        data.arrays(images, np.arange(12) % 2)


def test_integers_of_16_bits_are_taken_as_they_are():
    images = np.arange(24, dtype=np.uint16).reshape(12, 2) * 2000
    assert np.array_equal(data.arrays(images, np.arange(12)[:, None] % 2, (images, np.arange(12))).train.images, images)


def test_a_file_of_another_format_is_said(tmp_path):
    folder = prepare(tmp_path, train=TRAIN, test=examples(2))
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    for path in folder.glob("*.array_record*"):
        path.rename(str(path).replace("array_record", "tfrecord"))
    with pytest.raises(data.NotPrepared, match=r"dataset 'small' in .* is not array_record"):
        load(tmp_path)
