import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax import pixels
from resjax.errors import UserError
from resjax.resident import Shuffled, Split

IMAGES = jnp.arange(1.0, 1 + 400 * 5 * 6 * 2).reshape(400, 5, 6, 2)  # B H W C, no two pixels alike


def test_a_crop_is_a_window_of_the_padded_image_and_every_window_occurs():
    cropped = pixels.build("crop(pad=1)")(jax.random.key(0), IMAGES)
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
    found = [
        [(i, j) for i in range(3) for j in range(3) if np.array_equal(image, whole[i : i + 5, j : j + 6])]
        for image, whole in zip(cropped, padded, strict=True)
    ]
    assert all(len(windows) == 1 for windows in found)
    counts = np.unique([3 * i + j for ((i, j),) in found], return_counts=True)[1]
    assert len(counts) == 9 and abs(counts / 400 - 1 / 9).max() < 5 * (1 / 9 * 8 / 9 / 400) ** 0.5


def test_a_flip_is_left_and_right_in_half_of_the_images():
    flipped = np.asarray(pixels.build("flip")(jax.random.key(0), IMAGES))
    same, mirrored = (
        np.array([np.array_equal(one, other) for one, other in zip(flipped, images, strict=True)])
        for images in (np.asarray(IMAGES), np.asarray(IMAGES)[:, :, ::-1])
    )
    assert (same ^ mirrored).all() and abs(same.mean() - 0.5) < 5 * (0.25 / 400) ** 0.5


def batch(step, changes, key=0):
    split = Split(IMAGES.astype(jnp.uint8), jnp.arange(400), jnp.zeros(2), jnp.ones(2))
    source = Shuffled(split, jnp.arange(400)[::-1], 100, changes)
    return jax.jit(Shuffled.batch)(source, jax.random.key(key), step)


def test_a_batch_is_a_pure_function_of_key_and_step():
    changes = ("crop(pad=2)", "flip")
    images, labels = batch(1, changes)
    assert np.array_equal(labels, np.arange(400)[::-1][100:200])
    assert np.array_equal(images, batch(1, changes)[0])
    next_epoch, other_key = batch(5, changes), batch(1, changes, key=1)  # the same places of the order
    assert np.array_equal(labels, next_epoch[1]) and np.array_equal(labels, other_key[1])
    assert (images != next_epoch[0]).any() and (images != other_key[0]).any()


def test_without_changes_the_images_are_the_normalised_ones():
    images, labels = batch(0, ("none",))
    assert np.array_equal(images, IMAGES.astype(jnp.uint8)[labels])


def test_an_unknown_change_is_refused():
    with pytest.raises(UserError, match="unknown change of images 'rotate': known are none, crop, flip"):
        pixels.build("rotate")
