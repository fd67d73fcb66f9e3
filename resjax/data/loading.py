"""Data sets by name: what is built in, and those of TensorFlow Datasets."""

import functools
from collections.abc import Callable

from resjax.data.curves import mnist1d
from resjax.data.dataset import Dataset
from resjax.data.from_arrays import digits
from resjax.data.from_text import text
from resjax.data.induction_heads import induction
from resjax.data.prepared import prepared
from resjax.data.sources import Wanted, assembled
from resjax.data.tasks import hops, iterated

BUILT_IN: dict[str, Callable[..., Dataset]] = {  # what needs no files; called without arguments, or with its own
    "digits": digits,
    "mnist1d": mnist1d,
    "hops": hops,
    "iterated": iterated,
    "induction": induction,
    "text": text,
}


@functools.cache
def load(
    name: str,
    data_dir: str = "",
    image_size: int = 224,
    workers: int = 0,
    train_split: str = "",
    test_split: str = "",
) -> Dataset:
    """A data set by its name: one of `BUILT_IN`, or one that TensorFlow Datasets knows and has prepared.

    It is read through `tfds.data_source`, without TensorFlow. A set that fits is held in memory (see `arrays`); one
    that is large, or whose images differ in size, is streamed. Streamed images of uint8 are normalised with the
    statistics of ImageNet, others with those of some of the training images.

    Args:
      name: as TensorFlow Datasets writes it, with a configuration and a version if need be.
      data_dir: where the set is; "" is ~/tensorflow_datasets.
      image_size: sides of the images of a set that is streamed, in pixels.
      workers: processes that read a set that is streamed, with absl's flags parsed (see `Stream.batches`); with 0
        this one does.
      train_split: what trains, in the notation of TensorFlow Datasets; "" is `train`.
      test_split: what tests; "" is the first of `test` and `validation` that has labels, or a sixth of what trains.

    Raises:
      NotPrepared: the set is not there. ValueError: an unknown name, splits that cannot be, a set without images and
        labels, or an example that is not what the set promises.
    """
    if name in BUILT_IN:
        if train_split or test_split:
            raise ValueError(f"{name} has no splits to choose from: leave out train_split and test_split")
        return BUILT_IN[name]()
    found = prepared(name, data_dir, ", ".join(BUILT_IN))
    wanted = Wanted(train_split, test_split, image_size, workers)
    return assembled(name, found.sources, found.form, found.classes, wanted)
