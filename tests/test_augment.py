import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax.data import augment
from resjax.data.in_memory import Shuffled, Split
from resjax.lab import registry
from resjax.system.errors import UserError

IMAGES = jnp.arange(1.0, 1 + 400 * 5 * 6 * 2).reshape(400, 5, 6, 2)  # B H W C, no two pixels alike


def test_a_crop_is_a_window_of_the_padded_image_and_every_window_occurs():
    cropped = augment.crop(pad=1)(jax.random.key(0), IMAGES)
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
    found = [
        [(i, j) for i in range(3) for j in range(3) if np.array_equal(image, whole[i : i + 5, j : j + 6])]
        for image, whole in zip(cropped, padded, strict=True)
    ]
    assert all(len(windows) == 1 for windows in found)
    counts = np.unique([3 * i + j for ((i, j),) in found], return_counts=True)[1]
    assert len(counts) == 9 and abs(counts / 400 - 1 / 9).max() < 5 * (1 / 9 * 8 / 9 / 400) ** 0.5


def test_a_flip_is_left_and_right_in_half_of_the_images():
    flipped = np.asarray(augment.flip()(jax.random.key(0), IMAGES))
    same, mirrored = (
        np.array([np.array_equal(one, other) for one, other in zip(flipped, images, strict=True)])
        for images in (np.asarray(IMAGES), np.asarray(IMAGES)[:, :, ::-1])
    )
    assert (same ^ mirrored).all() and abs(same.mean() - 0.5) < 5 * (0.25 / 400) ** 0.5


def batch(step, augmentations, key=0):
    split = Split(IMAGES.astype(jnp.uint8), jnp.arange(400), jnp.zeros(2), jnp.ones(2))
    source = Shuffled(split, jnp.arange(400)[::-1], 100, augmentations)
    return jax.jit(Shuffled.batch)(source, jax.random.key(key), step)


def test_a_batch_is_a_pure_function_of_key_and_step():
    augmentations = (augment.crop(pad=2), augment.flip())
    images, labels = batch(1, augmentations)
    assert np.array_equal(labels, np.arange(400)[::-1][100:200])
    assert np.array_equal(images, batch(1, augmentations)[0])
    next_epoch = batch(5, augmentations)  # the same places of the order
    other_key = batch(1, augmentations, key=1)
    assert np.array_equal(labels, next_epoch[1]) and np.array_equal(labels, other_key[1])
    assert (images != next_epoch[0]).any() and (images != other_key[0]).any()


def test_without_augmentations_the_images_are_the_normalised_ones():
    images, labels = batch(0, ())
    assert np.array_equal(images, IMAGES.astype(jnp.uint8)[labels])


def test_each_augmentation_is_drawn_with_a_key_of_its_own():
    key = jax.random.key(3)
    flip = augment.flip()
    once = flip(jax.random.fold_in(key, 0), IMAGES)
    twice = flip(jax.random.fold_in(key, 1), once)
    assert np.array_equal(augment.augment((flip, flip), key, IMAGES), twice)
    assert not np.array_equal(twice, IMAGES)  # as it would be with one key


def test_a_function_of_ones_own_is_an_augmentation():
    images, labels = batch(0, (lambda key, images: -images,))
    assert np.array_equal(images, -IMAGES.astype(jnp.uint8)[labels].astype(float))


def test_equal_arguments_give_one_object_so_that_equal_steps_compile_once():
    assert augment.crop(pad=2) is augment.crop(pad=2) and augment.flip() is augment.flip()
    assert augment.crop(pad=2) is not augment.crop(pad=1)


@pytest.mark.parametrize("augmentation", (augment.crop(), augment.flip()))
def test_vectors_are_no_images(augmentation):
    with pytest.raises(ValueError, match=r"for images B H W C, not for examples of shape \(64,\)"):
        augmentation(jax.random.key(0), jnp.zeros((8, 64)))


def test_a_negative_pad_is_refused():
    with pytest.raises(ValueError, match="pad=-1: must be at least 0"):
        augment.crop(pad=-1)


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match=r"unknown augmentation 'rotate': known are .*crop, flip"):
        registry.augmentations(("rotate",), streamed=False)
