"""Data sets by name: those of TensorFlow Datasets, in memory, or streamed where they are too large for it."""

import dataclasses
import functools
import math
import pathlib
import re
from collections.abc import Callable

import numpy as np

from resjax.data.curves import mnist1d
from resjax.data.dataset import Dataset
from resjax.data.from_arrays import arrays, digits
from resjax.data.tasks import hops, iterated

BUILT_IN: dict[str, Callable[..., Dataset]] = {  # what needs no files; called without arguments, or with its own
    "digits": digits,
    "mnist1d": mnist1d,
    "hops": hops,
    "iterated": iterated,
}
IN_MEMORY_BYTES = 4 * 2**30  # larger sets, and those whose images differ in size, are streamed
NAME = re.compile(r"\w+(/\w[\w.-]*)?(:[\d.*]+)?", re.ASCII)  # of a set, its configuration and its version


class NotPrepared(ValueError):
    """A set of TensorFlow Datasets that is not there to be read."""

    def __init__(self, what: str, name: str, data_dir: str):
        how = f"tensorflow_datasets.builder({name!r}, data_dir={data_dir!r}, file_format='array_record')"
        super().__init__(f"{what}: prepare it with: {how}.download_and_prepare()")
        self.what = what  # is the matter
        self.name = name
        self.data_dir = data_dir


@functools.cache
def load(name: str, data_dir: str = "", image_size: int = 224, workers: int = 0) -> Dataset:
    """A data set by its name: one of `BUILT_IN`, or one that TensorFlow Datasets knows and has prepared.

    Splits are `train` and `test` (or `validation`), read through `tfds.data_source`, without TensorFlow. A set that
    fits is held in memory (see `arrays`); one that is large, or whose images differ in size, is streamed.

    Args:
      name: as TensorFlow Datasets writes it, with a configuration and a version if need be.
      data_dir: where the set is; "" is ~/tensorflow_datasets.
      image_size: sides of the images of a set that is streamed, in pixels.
      workers: processes that read a set that is streamed, with absl's flags parsed (see `Stream.batches`); with 0
        this one does.

    Raises:
      NotPrepared: the set is not there. ValueError: an unknown name, or a set without images and labels.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    train, test, features = _sources(name, data_dir)
    shape = features["image"].shape
    classes = features["label"].num_classes
    if None in shape or math.prod(shape) * len(train) > IN_MEMORY_BYTES:
        from resjax.data.streaming import Stream  # a second that sets in memory do not need

        size = (image_size, image_size, shape[-1])
        return Dataset(Stream(train, size, workers), Stream(test, size, workers), classes, name)
    return dataclasses.replace(arrays(*_read(train), _read(test), classes), name=name)


def _sources(name: str, data_dir: str):
    """The random-access sources of a prepared set's two splits, and its features."""
    import tensorflow_datasets as tfds  # two seconds that digits do not need

    try:
        if not NAME.fullmatch(name):
            raise ValueError("a path, or a set that TensorFlow Datasets would load code for")
        builder = tfds.builder(name, data_dir=data_dir or None)
    except (tfds.core.registered.DatasetNotFoundError, ValueError, AssertionError) as error:
        known = ", ".join(BUILT_IN)
        raise ValueError(f"unknown dataset {name!r}: known are {known} and the sets of TensorFlow Datasets") from error
    splits = [split for split in ("train", "test", "validation") if split in builder.info.splits]
    try:
        sources = [builder.as_data_source(split) for split in (splits or ("train", "test"))[:2]]
    except (NotImplementedError, OSError) as error:  # nothing there, or files of another format
        raise NotPrepared(_missing(name, builder), name, str(builder.data_dir_root)) from error
    except (ValueError, KeyError):
        raise ValueError(f"dataset {name!r} has no splits train and test") from None
    features = builder.info.features
    if not {"image", "label"} <= set(features):
        raise ValueError(f"dataset {name!r} is no image classification: its features are {', '.join(features)}")
    return *sources, features


def _missing(name: str, builder) -> str:
    folder = pathlib.Path(builder.data_path)
    others = sorted(path.name for path in folder.parent.glob("*.*.*"))
    if folder.name in others:
        return f"dataset {name!r} in {folder} is not array_record"
    if others:
        versions = f"version {', '.join(others)} in {folder.parent}"
        return f"dataset {name!r} is prepared as {versions}, version {folder.name} is needed"
    return f"dataset {name!r} is not prepared in {folder}"


def _read(source) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels of a source."""
    examples = list(source)
    labels = np.asarray([example["label"] for example in examples], np.int32)
    return np.stack([example["image"] for example in examples]), labels
