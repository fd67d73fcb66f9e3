import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from resjax import data
from resjax.data import from_arrays

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 5, 4, 3), np.uint8)
LABELS = np.arange(60) % 7
TEST = (IMAGES[:6], LABELS[:6])
FLOATS = RNG.normal(size=(60, 3))


def test_digits_are_bit_for_bit_what_their_arrays_are():
    found = load_digits()
    images, test_images, labels, test_labels = train_test_split(
        found.images[..., None].astype(np.uint8), found.target, test_size=297, stratify=found.target, random_state=0
    )
    made, digits = (
        jax.tree.leaves((found.train, found.test))
        for found in (data.arrays(images, labels, (test_images, test_labels)), data.digits())
    )
    for one, other in zip(made, digits, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)


@pytest.mark.parametrize("shape", ((60, 5, 4, 3), (60, 9), (60, 6, 5), (60, 2, 3, 4, 5)))
@pytest.mark.parametrize("dtype", (np.uint8, np.float16, np.float32, np.float64, jnp.bfloat16))
def test_each_channel_is_normalised_with_the_training_images_statistics(shape, dtype):
    images = RNG.uniform(0, 200, shape).astype(dtype)
    made = data.arrays(images, LABELS, (images[:6] + 1, LABELS[:6]))
    axes = tuple(range(len(shape) - 1))
    mean = images.astype(float).mean(axes)
    std = images.astype(float).std(axes)
    for split, raw in ((made.train, images), (made.test, images[:6] + 1)):
        found, labels = split.take(jnp.arange(len(split)))
        assert split.shape == shape[1:] and found.dtype == jnp.float32 and labels.dtype == jnp.int32
        np.testing.assert_allclose(found, (raw.astype(float) - mean) / std, atol=1e-5)


@pytest.mark.parametrize("value", (0.0, 0.1, 3e7))
def test_a_channel_whose_values_are_all_equal_has_a_standard_deviation_of_one(value):
    images = np.stack([np.full((60, 50), value), RNG.uniform(size=(60, 50))], -1).astype(np.float32)
    train = data.arrays(images, LABELS).train
    assert train.std[0] == 1 and train.std[1] < 1
    assert (train.take(jnp.arange(50))[0][..., 0] == 0).all()


def test_without_a_test_set_a_sixth_is_held_out():
    labels = np.arange(61) % 7
    images = np.arange(61.0)[:, None]  # say which they are
    made = data.arrays(images, labels)
    assert len(made.train) == 51 and len(made.test) == 10
    for split in (made.train, made.test):
        assert np.array_equal(split.images[:, 0].astype(int) % 7, split.labels)
    held_out = set(made.test.images[:, 0].tolist())
    assert held_out == set(jax.random.permutation(jax.random.key(0), 61)[:10].tolist())
    assert held_out | set(made.train.images[:, 0].tolist()) == set(range(61))
    np.testing.assert_allclose(made.train.mean, made.train.images.mean(), rtol=1e-6)  # of the others alone


def test_classes_are_those_that_occur_or_those_that_are_given():
    assert data.arrays(IMAGES, LABELS).classes == 7
    assert data.arrays(IMAGES, LABELS, (IMAGES[:2], [0, 9])).classes == 10
    assert data.arrays(IMAGES, LABELS, classes=12).classes == 12


def test_arrays_of_jax_and_lists_are_taken():
    made = data.arrays(jnp.asarray(IMAGES), LABELS.tolist(), (jnp.asarray(IMAGES[:6]), jnp.asarray(LABELS[:6])))
    assert np.array_equal(made.train.images, IMAGES) and np.array_equal(made.train.labels, LABELS)


@pytest.mark.parametrize("targets", (FLOATS, FLOATS[:, 0]), ids=("N D", "N"))
def test_the_targets_of_a_regression_have_mean_0_and_deviation_1_in_training(targets):
    made = data.arrays(IMAGES, targets, (IMAGES[:9], targets[:9]))
    wanted = targets.reshape(60, -1)
    wanted = (wanted - wanted.mean(0)) / wanted.std(0)
    assert made.classes == wanted.shape[1] and made.train.labels.dtype == jnp.float32
    np.testing.assert_allclose(made.train.labels, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(next(made.test.all(9))[1], wanted[:9], rtol=1e-4, atol=1e-5)
    assert made.targets(4) == jax.ShapeDtypeStruct((4, wanted.shape[1]), jnp.float32)


def test_a_sixth_is_held_out_with_its_targets():
    rows = np.arange(60.0)[:, None]
    made = data.arrays(rows, 2 * rows)
    for split in (made.train, made.test):  # a line still, whatever mean and deviation
        slope = np.diff(np.ravel(split.labels)) / np.diff(np.ravel(split.images))
        np.testing.assert_allclose(slope, slope[0], rtol=1e-3)


def test_arrays_can_have_random_labels_and_be_cut_short():
    made = data.arrays(IMAGES, LABELS, TEST).with_random_labels(1.0).first(30)
    assert len(made.train) == 30 and made.train.labels.max() < 7 and not made.streamed


def with_nan(images):
    images = images.astype(np.float32)
    images[3, 0, 0, 0] = np.nan
    return images


@pytest.mark.parametrize(
    ("arguments", "says"),
    (
        ((IMAGES.astype(int), LABELS), "images must be uint8 or floating point, not int64"),
        ((IMAGES[:, 0, 0, 0], LABELS), r"images must be N H W C or N …, and not empty: their shape is \(60,\)"),
        ((IMAGES[:0], LABELS[:0]), r"and not empty: their shape is \(0, 5, 4, 3\)"),
        ((with_nan(IMAGES), LABELS), "images have values that are not finite: example 3"),
        ((IMAGES, LABELS.astype(str)), "labels must be integers, not <U21"),
        ((IMAGES, LABELS == 1), "labels must be integers, not bool"),
        ((IMAGES, np.eye(7, dtype=int)[LABELS]), r"labels must be one integer an image: their shape is \(60, 7\)"),
        ((IMAGES, LABELS[:-1]), "there are 60 images and 59 labels"),
        ((IMAGES, LABELS - 1), "labels must be from 0 to 5: that of example 0 is -1"),
        ((IMAGES, LABELS, None, 6), "labels must be from 0 to 5: that of example 6 is 6"),
        ((IMAGES, LABELS, (IMAGES, LABELS + 1), 7), "test labels must be from 0 to 6: that of example 6 is 7"),
        ((IMAGES, LABELS, (IMAGES, LABELS[1:])), "there are 60 test images and 59 test labels"),
        ((IMAGES, LABELS, (IMAGES, LABELS * 1.0)), "test labels are N 1 float32, but training labels are N int64"),
        ((IMAGES, LABELS, (IMAGES[:, :4], LABELS)), "test images are N 4 4 3 uint8, but training images are N 5 4 3"),
        ((IMAGES, LABELS, (IMAGES / 255.0, LABELS)), "test images are N 5 4 3 float64, but training images are N 5"),
        ((IMAGES, FLOATS[..., None]), r"targets must be N or N D: their shape is \(60, 3, 1\)"),
        ((IMAGES, FLOATS[:-1]), "there are 60 images and 59 targets"),
        ((IMAGES, np.where(FLOATS[4, 1] == FLOATS, np.inf, FLOATS)), "targets are not finite: that of example 4"),
        ((IMAGES, FLOATS * 1e60), "targets are not finite: that of example 0"),
        ((IMAGES, FLOATS, None, 2), "classes=2: must be 3, the numbers of each target"),
        ((IMAGES, FLOATS, (IMAGES, FLOATS[:, :2])), "test labels are N 2 float32, but training labels are N 3 float32"),
        ((IMAGES, FLOATS, (IMAGES, LABELS)), "test labels are N int64, but training labels are N 3 float32"),
        ((IMAGES[:5], LABELS[:5]), "5 examples are too few to hold out a sixth: give a test set"),
    ),
)
def test_arrays_that_cannot_be(arguments, says):
    with pytest.raises(ValueError, match=says):
        data.arrays(*arguments)


@pytest.mark.parametrize("images", (IMAGES, FLOATS))
def test_statistics_summed_in_parts_are_those_of_the_whole(images, monkeypatch):
    monkeypatch.setattr(from_arrays, "PART", 7)
    axes = tuple(range(images.ndim - 1))
    mean, std = from_arrays.statistics(images)
    np.testing.assert_allclose(mean, images.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(std, images.std(axes), rtol=1e-6)
