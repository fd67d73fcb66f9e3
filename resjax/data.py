"""Data sets by name: read once, then held on the device, or streamed where they are too large for it."""

import dataclasses
import functools
import math
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np

from resjax.errors import UserError
from resjax.mesh import Layout
from resjax.resident import Split
from resjax.stream import Stream

RESIDENT_BYTES = 4 * 2**30  # larger sets, and those whose images differ in size, are streamed
NAME = re.compile(r"\w+(/\w[\w.-]*)?(:[\d.*]+)?", re.ASCII)  # of a set, its configuration and its version
CHOSEN, DRAWN = range(2)  # what the key of random labels is folded with: which images, and which labels


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A training and a held-out split; both are on the device or both are streamed."""

    train: Split | Stream
    test: Split | Stream
    classes: int

    def on(self, layout: Layout) -> "Dataset":
        """The same on the devices of a layout."""
        return dataclasses.replace(self, train=self.train.on(layout), test=self.test.on(layout))


@functools.cache
def load(
    name: str,
    data_dir: str = "",
    image_size: int = 224,
    examples: int = 0,
    workers: int = 4,
    random_labels: float = 0.0,
) -> Dataset:
    """Loads a data set.

    `digits` is scikit-learn's copy of the UCI optical digits, 1,797 grey images of 8×8 pixels with
    values 0 to 16; a stratified sixth of it (297 images, a fixed draw) is held out. Every other name
    is read through `tfds.data_source` from `data_dir`, splits `train` and `test` (or `validation`).
    A set that is large, or whose images differ in size, is streamed with sides of `image_size` by as many `workers`.
    `examples` keeps only the first so many training images; for `random_labels` see `_drawn`.

    Raises:
      UserError: an unknown name, a set that is not prepared, one without images and labels, or random labels of
        a set that is streamed.
    """
    if examples:
        return _first(load(name, data_dir, image_size, workers=workers, random_labels=random_labels), name, examples)
    if random_labels:
        return _drawn(load(name, data_dir, image_size, workers=workers), name, random_labels)
    if name == "digits":
        return _resident(*_digits())
    train, test, features = _sources(name, data_dir)
    shape, classes = features["image"].shape, features["label"].num_classes
    if None in shape or math.prod(shape) * len(train) > RESIDENT_BYTES:
        size = image_size, image_size, shape[-1]
        return Dataset(Stream(train, size, workers), Stream(test, size, workers), classes)
    return _resident(_arrays(train), _arrays(test), classes)


def _resident(train, test, classes: int) -> Dataset:
    pixels = train[0].reshape(-1, train[0].shape[-1]).astype(np.float64)  # NHW C
    statistics = pixels.mean(0).astype(np.float32), pixels.std(0).astype(np.float32)
    return Dataset(*[Split(*map(jnp.asarray, (*arrays, *statistics))) for arrays in (train, test)], classes)


def _first(dataset: Dataset, name: str, examples: int) -> Dataset:
    if examples > len(dataset.train):
        raise UserError(f"--examples={examples}: {name} has {len(dataset.train)} training images")
    return dataclasses.replace(dataset, train=dataset.train.first(examples))


def _drawn(dataset: Dataset, name: str, share: float) -> Dataset:
    """Every training label, with probability `share`, drawn from all classes (Zhang et al. 2017, arXiv 1611.03530).

    One draw for all runs; a label that is drawn can be the true one.
    """
    if isinstance(dataset.train, Stream):
        raise UserError(f"--random_labels={share}: {name} is streamed; use a set that fits on the device")
    key, labels = jax.random.key(0), dataset.train.labels
    chosen = jax.random.uniform(jax.random.fold_in(key, CHOSEN), labels.shape, jnp.float32) < share
    drawn = jax.random.randint(jax.random.fold_in(key, DRAWN), labels.shape, 0, dataset.classes, labels.dtype)
    return dataclasses.replace(
        dataset, train=dataclasses.replace(dataset.train, labels=jnp.where(chosen, drawn, labels))
    )


def _digits():
    from sklearn import datasets, model_selection  # a second that only digits need

    digits = datasets.load_digits()
    images, labels = digits.images[..., None].astype(np.uint8), digits.target.astype(np.int32)
    train_images, test_images, train_labels, test_labels = model_selection.train_test_split(
        images, labels, test_size=297, stratify=labels, random_state=0
    )
    return (train_images, train_labels), (test_images, test_labels), 10


def _sources(name: str, data_dir: str):
    """The random-access sources of a prepared set's two splits, and its features."""
    import tensorflow_datasets as tfds  # two seconds that digits do not need

    try:
        if not NAME.fullmatch(name):
            raise ValueError("a path, or a set that TensorFlow Datasets would load code for")
        builder = tfds.builder(name, data_dir=data_dir or None)
    except (tfds.core.registered.DatasetNotFoundError, ValueError, AssertionError) as error:
        raise UserError(f"unknown dataset {name!r}: known are digits and the sets of TensorFlow Datasets") from error
    splits = [split for split in ("train", "test", "validation") if split in builder.info.splits]
    try:
        sources = [builder.as_data_source(split) for split in (splits or ("train", "test"))[:2]]
    except (NotImplementedError, OSError) as error:  # nothing there, or files of another format
        raise UserError(_not_prepared(name, builder)) from error
    except (ValueError, KeyError):
        raise UserError(f"dataset {name!r} has no splits train and test") from None
    features = builder.info.features
    if not {"image", "label"} <= set(features):
        raise UserError(f"dataset {name!r} is no image classification: its features are {', '.join(features)}")
    return *sources, features


def _not_prepared(name: str, builder) -> str:
    command = f"python -m resjax.prepare --dataset={name} --data_dir={builder.data_dir_root}"
    folder = pathlib.Path(builder.data_path)
    others = sorted(path.name for path in folder.parent.glob("*.*.*"))
    if folder.name in others:
        return f"dataset {name!r} in {folder} is not array_record: prepare it again with: {command}"
    if others:
        return (
            f"dataset {name!r} is prepared as version {', '.join(others)} in {folder.parent}, "
            f"version {folder.name} is needed: prepare it with: {command}"
        )
    return f"dataset {name!r} is not prepared in {folder}: prepare it with: {command}"


def _arrays(source):
    examples = list(source)
    labels = np.asarray([example["label"] for example in examples], np.int32)
    return np.stack([example["image"] for example in examples]), labels
