"""Data sets made of arrays, held on the device: inputs and labels or, in a regression, numbers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Float32, Int, Shaped

from resjax.data import validate
from resjax.data.dataset import Dataset
from resjax.data.in_memory import Split
from resjax.data.splits import held_out

Pair = tuple[np.ndarray, np.ndarray]  # images and labels
PART = 2**22  # pixels whose statistics are summed at a time


def arrays(
    images: Shaped[ArrayLike, "N ..."],
    labels: Int[ArrayLike, " N"] | Float[ArrayLike, "N ..."],
    test: tuple[Shaped[ArrayLike, "n ..."], Shaped[ArrayLike, "n ..."]] | None = None,
    classes: int | None = None,
) -> Dataset:
    """A data set of arrays, held on the device as they are.

    A batch is normalised as it is taken: the training images' mean is taken away and divided by their standard
    deviation, one of each for every channel, which is the last axis. Where all values of a channel are equal, the
    standard deviation counts as 1.

    Args:
      images: N H W C, or N … with at least one more axis, such as N D; uint8, 16-bit integers or floating point.
      labels: N integers, or N 1, from 0 to classes - 1. Or the targets of a regression, N D or N floating point, which
        become N D float32 with the training targets' mean taken away, divided by their standard deviations.
      test: the held-out images and labels, like the others. None holds out a sixth of the examples (N // 6), those
        that come first in the permutation of `jax.random.key(0)`; the classes' shares are left to chance.
      classes: K; None is one more than the largest label, and D in a regression.

    Raises:
      ValueError: images or labels of another shape or type, numbers of them that differ, images or targets that are
        not finite, labels out of range, or too few examples to hold out any.
    """
    train_images, train_labels = _checked(images, labels, "")
    test_images, test_labels = (train_images, train_labels) if test is None else _checked(*test, "test ")
    if (test_images.shape[1:], test_images.dtype) != (train_images.shape[1:], train_images.dtype):
        raise ValueError(f"test images are {_form(test_images)}, but training images are {_form(train_images)}")
    forms = [(own.shape[1:], validate.floating(own)) for own in (train_labels, test_labels)]
    if forms[0] != forms[1]:
        raise ValueError(f"test labels are {_form(test_labels)}, but training labels are {_form(train_labels)}")
    classes = _classes(train_labels, test_labels, classes)
    if test is None:
        (train_images, train_labels), (test_images, test_labels) = hold_out(train_images, train_labels)
    if validate.floating(train_labels):
        center, scale = statistics(train_labels)
        train_labels = (train_labels - center) / scale
        test_labels = (test_labels - center) / scale
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
    pixels = images.reshape(-1, images.shape[-1])  # N·H·W C
    parts = [pixels[at : at + PART] for at in range(0, len(pixels), PART)]  # float64 takes 8 times the memory of uint8
    mean = sum(part.astype(np.float64).sum(0) for part in parts) / len(pixels)
    variance = sum(((part.astype(np.float64) - mean) ** 2).sum(0) for part in parts) / len(pixels)
    std = np.sqrt(variance).astype(np.float32)
    normal = std >= np.finfo(np.float32).tiny  # what is smaller counts as zero on devices
    varies = (pixels.max(0) > pixels.min(0)) & normal  # rounding can give equal values a tiny one
    return mean.astype(np.float32), np.where(varies, std, np.float32(1))


def hold_out(images: Shaped[np.ndarray, "N ..."], labels: Shaped[np.ndarray, "N ..."]) -> tuple[Pair, Pair]:
    """The images and labels for training, and a sixth of them, those that come first in the permutation of key 0.

    Raises:
      ValueError: they are too few.
    """
    count = held_out(len(images))
    order = np.asarray(jax.random.permutation(jax.random.key(0), len(images)))
    test = order[:count]
    train = order[count:]
    return (images[train], labels[train]), (images[test], labels[test])


def _split(images: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Split:
    labels = labels if validate.floating(labels) else labels.astype(np.int32)
    return Split(jnp.asarray(images), jnp.asarray(labels), jnp.asarray(mean), jnp.asarray(std))


def _classes(labels: np.ndarray, test_labels: np.ndarray, given: int | None) -> int:
    """K of labels that are in its range; D of the targets of a regression."""
    if validate.floating(labels):
        numbers = labels.shape[1]
        if given not in (None, numbers):
            raise ValueError(f"classes={given}: must be {numbers}, the numbers of each target")
        return numbers
    classes = int(max(labels.max(), test_labels.max())) + 1 if given is None else given
    validate.in_range(labels, classes)
    validate.in_range(test_labels, classes, "test labels")
    return classes


def _checked(images: ArrayLike, labels: ArrayLike, which: str) -> tuple[np.ndarray, np.ndarray]:
    checked = validate.images(images, which)
    return checked, validate.targets(labels, len(checked), which)


def _form(array: np.ndarray) -> str:
    return " ".join(["N", *map(str, array.shape[1:]), str(array.dtype)])
