"""Data sets made of arrays, held on the device."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float32, Int, Shaped

from resjax.data.dataset import Dataset
from resjax.data.in_memory import Split

HELD_OUT = 6  # one in so many examples, where no test set is given


def arrays(
    images: Shaped[ArrayLike, "N ..."],
    labels: Int[ArrayLike, " N"],
    test: tuple[Shaped[ArrayLike, "n ..."], Int[ArrayLike, " n"]] | None = None,
    classes: int | None = None,
) -> Dataset:
    """A data set of arrays, held on the device as they are.

    A batch is normalised as it is taken: the training images' mean is taken away and divided by their standard
    deviation, one of each for every channel, which is the last axis. Where all values of a channel are equal, the
    standard deviation counts as 1.

    Args:
      images: N H W C, or N … with at least one more axis, such as N D; uint8 or floating point.
      labels: N integers, from 0 to classes - 1.
      test: the held-out images and labels, like the others. None holds out a sixth of the examples (N // 6), those
        that come first in the permutation of `jax.random.key(0)`; the classes' shares are left to chance.
      classes: K; None is one more than the largest label.

    Raises:
      ValueError: images or labels of another shape or type, numbers of them that differ, images that are not finite,
        labels out of range, or too few examples to hold out any.
    """
    train_images, train_labels = _checked(images, labels, "")
    if test is None:
        (train_images, train_labels), (test_images, test_labels) = _held_out(train_images, train_labels)
    else:
        test_images, test_labels = _checked(*test, "test ")
    if (test_images.shape[1:], test_images.dtype) != (train_images.shape[1:], train_images.dtype):
        raise ValueError(f"test images are N {_form(test_images)}, but training images are N {_form(train_images)}")
    largest = max(train_labels.max(), test_labels.max())
    classes = int(largest) + 1 if classes is None else classes
    smallest = min(train_labels.min(), test_labels.min())
    if smallest < 0 or largest >= classes:
        raise ValueError(f"labels must be from 0 to {classes - 1}, but are from {smallest} to {largest}")
    mean, std = statistics(train_images)
    train = _split(train_images, train_labels, mean, std)
    return Dataset(train, _split(test_images, test_labels, mean, std), classes)


@functools.cache
def digits() -> Dataset:
    """scikit-learn's copy of the UCI optical digits: 1,797 grey images of 8×8 pixels with values 0 to 16, 10 classes.

    A stratified sixth of them (297 images, a fixed draw) is held out.
    """
    from sklearn import datasets, model_selection  # a second that only digits need

    found = datasets.load_digits()
    images = found.images[..., None].astype(np.uint8)  # N 8 8 1
    images, test_images, labels, test_labels = model_selection.train_test_split(
        images, found.target, test_size=297, stratify=found.target, random_state=0
    )
    return dataclasses.replace(arrays(images, labels, (test_images, test_labels)), name="digits")


def statistics(images: Shaped[np.ndarray, "... C"]) -> tuple[Float32[np.ndarray, " C"], Float32[np.ndarray, " C"]]:
    """Mean and standard deviation (C each) of images … C; of a channel whose values are all equal it is 1."""
    pixels = images.reshape(-1, images.shape[-1]).astype(np.float64)  # N·H·W C
    mean = pixels.mean(0).astype(np.float32)
    std = pixels.std(0).astype(np.float32)
    varies = (pixels.max(0) > pixels.min(0)) & (std > 0)  # rounding can give equal values a tiny one
    return mean, np.where(varies, std, np.float32(1))


def _split(images: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Split:
    return Split(jnp.asarray(images), jnp.asarray(labels.astype(np.int32)), jnp.asarray(mean), jnp.asarray(std))


def _held_out(images: np.ndarray, labels: np.ndarray):
    """The examples for training, and the others."""
    count = len(images) // HELD_OUT
    if not count:
        raise ValueError(f"{len(images)} images are too few to hold out a sixth: give a test set")
    order = np.asarray(jax.random.permutation(jax.random.key(0), len(images)))
    test = order[:count]
    train = order[count:]
    return (images[train], labels[train]), (images[test], labels[test])


def _checked(images: ArrayLike, labels: ArrayLike, which: str) -> tuple[np.ndarray, np.ndarray]:
    images = np.asarray(images)
    labels = np.asarray(labels)
    floating = jnp.issubdtype(images.dtype, jnp.floating)
    if images.dtype != np.uint8 and not floating:
        raise ValueError(f"{which}images must be uint8 or floating point, not {images.dtype}")
    if images.ndim < 2 or not images.size:
        raise ValueError(f"{which}images must be N H W C or N …, and not empty: their shape is {images.shape}")
    if floating and not np.isfinite(images).all():
        raise ValueError(f"{which}images have values that are not finite")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{which}labels must be integers, not {labels.dtype}")
    if labels.ndim != 1:
        raise ValueError(f"{which}labels must be one integer an image: their shape is {labels.shape}")
    if len(images) != len(labels):
        raise ValueError(f"there are {len(images)} {which}images and {len(labels)} {which}labels")
    return images, labels


def _form(images: np.ndarray) -> str:
    return f"{' '.join(map(str, images.shape[1:]))} {images.dtype}"
