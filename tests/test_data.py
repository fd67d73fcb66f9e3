import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from resjax import data
from resjax.errors import UserError
from resjax.resident import orders


def test_digits_are_scikit_learns_and_the_splits_are_disjoint():
    digits = data.load("digits")
    images = np.concatenate([digits.train.images, digits.test.images])[..., 0]
    assert images.dtype == np.uint8 and len(digits.test.labels) == 297 and digits.classes == 10
    flat = images.reshape(1797, 64).tolist()
    assert sorted(flat) == sorted(load_digits().data.astype(int).tolist())


def test_the_held_out_digits_have_the_classes_of_the_others():
    digits = data.load("digits")
    shares = [np.bincount(split.labels, minlength=10) / len(split.labels) for split in (digits.train, digits.test)]
    np.testing.assert_allclose(*shares, atol=0.005)


def test_training_images_are_normalised():
    split = data.load("digits").train
    images, _ = split.take(jnp.arange(1500))
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=1e-5)


def test_an_epoch_sees_every_example_once_and_epochs_differ():
    first, second = (np.asarray(orders(epoch, 0, 0, 1500)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(1500))
    assert (first != second).mean() > 0.9


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    (
        ("mnist", (28, 28, 1), 10),
        ("fashion_mnist", (28, 28, 1), 10),
        ("cifar10", (32, 32, 3), 10),
        ("cifar100", (32, 32, 3), 100),
        ("svhn_cropped", (32, 32, 3), 10),
    ),
)
def test_tfds_sets_are_read_without_tensorflow(name, shape, classes):
    with tfds.testing.mock_data(num_examples=12):
        loaded = data.load(name, "somewhere")
    assert loaded.train.images.shape == (12, *shape) and loaded.train.images.dtype == jnp.uint8
    assert loaded.train.mean.shape == shape[-1:] and loaded.classes == classes


def test_the_first_examples_keep_the_statistics_of_all():
    whole, first = data.load("digits"), data.load("digits", examples=100)
    assert len(first.train) == 100 and np.array_equal(first.train.images, whole.train.images[:100])
    assert np.array_equal(first.train.mean, whole.train.mean) and len(first.test) == 297


def test_a_set_that_is_not_prepared_names_the_command_that_prepares_it(tmp_path):
    with pytest.raises(UserError, match=f"resjax.prepare --dataset=mnist --data_dir={tmp_path}"):
        data.load("mnist", str(tmp_path))


@pytest.mark.parametrize("name", ("nosuchset", "../etc", ""))
def test_an_unknown_set_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=f"unknown dataset '{name}': known are digits"):
        data.load(name, str(tmp_path))
