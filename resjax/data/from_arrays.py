"""Data sets made of arrays, held on the device."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float32, Int, Shaped

from resjax.data import validate
from resjax.data.dataset import Dataset
from resjax.data.in_memory import Split
from resjax.data.splits import held_out


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
      images: N H W C, or N … with at least one more axis, such as N D; uint8, 16-bit integers or floating point.
      labels: N integers, or N 1, from 0 to classes - 1.
      test: the held-out images and labels, like the others. None holds out a sixth of the examples (N // 6), those
        that come first in the permutation of `jax.random.key(0)`; the classes' shares are left to chance.
      classes: K; None is one more than the largest label.

    Raises:
      ValueError: images or labels of another shape or type, numbers of them that differ, images that are not finite,
        labels out of range, or too few examples to hold out any.
    """
    train_images, train_labels = _checked(images, labels, "")
    test_images, test_labels = (train_images, train_labels) if test is None else _checked(*test, "test ")
    if (test_images.shape[1:], test_images.dtype) != (train_images.shape[1:], train_images.dtype):
        raise ValueError(f"test images are N {_form(test_images)}, but training images are N {_form(train_images)}")
    classes = int(max(train_labels.max(), test_labels.max())) + 1 if classes is None else classes
    validate.in_range(train_labels, classes)
    validate.in_range(test_labels, classes, "test ")
    if test is None:
        (train_images, train_labels), (test_images, test_labels) = _held_out(train_images, train_labels)
    mean, std = statistics(train_images)
    train = _split(train_images, train_labels, mean, std)
    return Dataset(train, _split(test_images, test_labels, mean, std), classes)


def pictures(values: Shaped[ArrayLike, "N ..."]) -> Shaped[np.ndarray, "N ..."]:
    """Images N H W C of grey ones N H W, or of rows of numbers N D (N 1 1 D); others are what they were."""
    images = np.asarray(values)
    if images.ndim == 3:
        return images[..., None]
    return images[:, None, None] if images.ndim == 2 else images


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
    normal = std >= np.finfo(np.float32).tiny  # what is smaller counts as zero on devices
    varies = (pixels.max(0) > pixels.min(0)) & normal  # rounding can give equal values a tiny one
    return mean, np.where(varies, std, np.float32(1))


def _split(images: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Split:
    return Split(jnp.asarray(images), jnp.asarray(labels.astype(np.int32)), jnp.asarray(mean), jnp.asarray(std))


def _held_out(images: np.ndarray, labels: np.ndarray):
    """The examples for training, and the others."""
    count = held_out(len(images))
    order = np.asarray(jax.random.permutation(jax.random.key(0), len(images)))
    test = order[:count]
    train = order[count:]
    return (images[train], labels[train]), (images[test], labels[test])


def _checked(images: ArrayLike, labels: ArrayLike, which: str) -> tuple[np.ndarray, np.ndarray]:
    checked = validate.images(images, which)
    return checked, validate.labels(labels, len(checked), which)


def _form(images: np.ndarray) -> str:
    return f"{' '.join(map(str, images.shape[1:]))} {images.dtype}"
