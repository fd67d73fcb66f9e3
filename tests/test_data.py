import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from resjax import data
from resjax.errors import UserError
from resjax.resident import permutation


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
    key = jax.random.key(0)
    first, second = (np.asarray(permutation(key, epoch, 1500)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(1500))
    assert (first != second).mean() > 0.9


def test_a_tfds_set_is_read_without_tensorflow():
    with tfds.testing.mock_data(num_examples=12):
        loaded = data.load("cifar10", "somewhere")
    assert loaded.train.images.shape == (12, 32, 32, 3) and loaded.train.images.dtype == jnp.uint8
    assert loaded.train.mean.shape == (3,) and loaded.classes == 10


def test_a_set_that_is_not_prepared_names_the_command_that_prepares_it(tmp_path):
    with pytest.raises(UserError, match=f"resjax.prepare --dataset=mnist --data_dir={tmp_path}"):
        data.load("mnist", str(tmp_path))


@pytest.mark.parametrize("name", ("nosuchset", "../etc", ""))
def test_an_unknown_set_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=f"unknown dataset '{name}': known are digits"):
        data.load(name, str(tmp_path))
