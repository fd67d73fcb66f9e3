import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from resjax import data
from resjax.data.in_memory import order_key, orders
from resjax.random_streams import stream


def test_digits_are_scikit_learns_and_the_splits_are_disjoint():
    digits = data.digits()
    images = np.concatenate([digits.train.images, digits.test.images])[..., 0]
    assert images.dtype == np.uint8 and len(digits.test.labels) == 297 and digits.classes == 10
    flat = images.reshape(1797, 64).tolist()
    assert sorted(flat) == sorted(load_digits().data.astype(int).tolist())


def test_digits_have_a_name_like_other_sets():
    assert data.load("digits") is data.digits() and data.digits().name == "digits"


def test_the_held_out_digits_have_the_classes_of_the_others():
    digits = data.digits()
    shares = [np.bincount(split.labels, minlength=10) / len(split.labels) for split in (digits.train, digits.test)]
    np.testing.assert_allclose(*shares, atol=0.005)


def test_training_images_are_normalised():
    images, _ = data.digits().train.take(jnp.arange(1500))
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=1e-5)


def test_an_epoch_sees_every_example_once_and_epochs_differ():
    key = order_key(jax.random.key(0))
    first, second = (np.asarray(orders(key, epoch, 1500)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(1500))
    assert (first != second).mean() > 0.9


def test_the_order_is_that_of_the_keys_stream_and_the_epoch():
    batches = data.digits().train.batches(100, (), jax.random.key(7))
    for step, epoch in ((0, 0), (14, 0), (15, 1), (44, 2)):
        key = jax.random.fold_in(stream(jax.random.key(7), "order"), epoch)
        assert np.array_equal(batches.at(step).order, jax.random.permutation(key, 1500))


def test_of_several_networks_each_has_the_order_that_it_has_alone():
    train = data.digits().train
    keys = jax.vmap(jax.random.key)(jnp.arange(4, 7))
    together = train.batches(100, (), keys).at(20)
    alone = [train.batches(100, (), key).at(20).order for key in keys]
    assert np.array_equal(together.order, alone)


@pytest.mark.parametrize("num_seeds", (0, 3))
def test_compiling_ahead_knows_the_shapes(num_seeds):
    train = data.digits().train
    augmentations = (data.augment.crop(pad=1),)
    key = jax.random.split(jax.random.key(0), num_seeds) if num_seeds else jax.random.key(0)
    found = train.batches(100, augmentations, key).at(0)
    shapes = train.abstract(100, augmentations, num_seeds)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), found
    )


def test_the_order_outlives_the_key_that_a_training_step_donates():
    key = jax.random.key(0)
    batches = data.digits().train.batches(100, (), key)
    key.delete()
    assert len(batches.at(15).order) == 1500


def test_batches_in_memory_meet_the_protocol():
    batches = data.digits().train.batches(100, (), jax.random.key(0))
    assert isinstance(batches, data.Batches)
    assert np.array_equal(batches.at(0).order, data.digits().train.batches(100, (), jax.random.key(0)).at(0).order)


@pytest.mark.parametrize(
    ("batch_size", "key", "says"),
    (
        (1501, jax.random.key(0), "a batch must be of 1 to 1500 training images, not of 1501"),
        (0, jax.random.key(0), "a batch must be of 1 to 1500 training images, not of 0"),
        (100, jax.random.PRNGKey(0), r"key must be one of jax\.random\.key, or a vector of them"),
        (100, 0, r"key must be one of jax\.random\.key, or a vector of them"),
    ),
)
def test_batches_that_cannot_be(batch_size, key, says):
    with pytest.raises(ValueError, match=says):
        data.digits().train.batches(batch_size, (), key)


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
    assert loaded.train.mean.shape == shape[-1:] and loaded.classes == classes and loaded.name == name


def test_the_first_examples_keep_the_statistics_of_all():
    whole = data.digits()
    first = whole.first(100)
    assert len(first.train) == 100 and np.array_equal(first.train.images, whole.train.images[:100])
    assert np.array_equal(first.train.mean, whole.train.mean) and len(first.test) == 297


@pytest.mark.parametrize("examples", (0, 1501))
def test_more_examples_than_there_are_or_none_are_refused(examples):
    with pytest.raises(ValueError, match="digits has 1500 training images"):
        data.digits().first(examples)


def test_random_labels_are_drawn_from_streams_of_their_own():
    whole = data.digits()
    drawn = whole.with_random_labels(0.5).train.labels
    key = jax.random.key(0)
    chosen = jax.random.uniform(stream(key, "labels_chosen"), (1500,), jnp.float32) < 0.5
    labels = jax.random.randint(stream(key, "labels_drawn"), (1500,), 0, 10, jnp.int32)
    assert np.array_equal(drawn, np.where(chosen, labels, whole.train.labels)) and drawn.dtype == jnp.int32


def test_a_share_of_random_labels_is_a_probability():
    with pytest.raises(ValueError, match=r"must be from 0 to 1, not 1\.5"):
        data.digits().with_random_labels(1.5)


def test_a_set_that_is_not_prepared_says_where_and_how_to_prepare_it(tmp_path):
    with pytest.raises(data.NotPrepared, match=r"dataset 'mnist' is not prepared in .*download_and_prepare") as caught:
        data.load("mnist", str(tmp_path))
    assert (caught.value.name, caught.value.data_dir) == ("mnist", str(tmp_path))


@pytest.mark.parametrize("name", ("nosuchset", "../etc", ""))
def test_an_unknown_set_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=f"unknown dataset '{name}': known are digits"):
        data.load(name, str(tmp_path))
