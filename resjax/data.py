"""Data sets: held on the device as uint8, a batch is a pure function of (key, step)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from resjax.errors import UserError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Split:
    """Images and labels of one split, with the training images' statistics."""

    images: jax.Array  # N H W C uint8
    labels: jax.Array  # N int32
    mean: jax.Array  # C, in pixel units
    std: jax.Array  # C, in pixel units

    def take(self, index):
        """Normalised images (B H W C) and labels (B) at the given places (B)."""
        images = self.images[index].astype(self.mean.dtype)
        return (images - self.mean) / self.std, self.labels[index]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A training and a held-out split."""

    train: Split
    test: Split
    classes: int


@functools.partial(jax.jit, static_argnames=("examples",))
def permutation(key, epoch, examples: int):
    """The order of the training examples in one epoch."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), examples)


@functools.cache
def load(name: str, data_dir: str = "") -> Dataset:
    """Loads a data set.

    `digits` is scikit-learn's copy of the UCI optical digits, 1,797 grey images of 8×8 pixels with
    values 0 to 16; a stratified sixth of it (297 images, a fixed draw) is held out. Every other name
    is read through `tfds.data_source` from `data_dir`, splits `train` and `test`.

    Raises:
      UserError: an unknown name, a set that is not prepared, or one without images and labels.
    """
    train, test, classes = _digits() if name == "digits" else _tfds(name, data_dir)
    pixels = train[0].reshape(-1, train[0].shape[-1]).astype(np.float64)  # NHW C
    statistics = pixels.mean(0).astype(np.float32), pixels.std(0).astype(np.float32)
    on_device = [Split(*map(jnp.asarray, (*arrays, *statistics))) for arrays in (train, test)]
    return Dataset(*on_device, classes)


def _digits():
    from sklearn import datasets, model_selection  # a second that only digits need

    digits = datasets.load_digits()
    images, labels = digits.images[..., None].astype(np.uint8), digits.target.astype(np.int32)
    train_images, test_images, train_labels, test_labels = model_selection.train_test_split(
        images, labels, test_size=297, stratify=labels, random_state=0
    )
    return (train_images, train_labels), (test_images, test_labels), 10


def _tfds(name: str, data_dir: str):
    import tensorflow_datasets as tfds  # two seconds that digits do not need

    try:
        builder = tfds.builder(name, data_dir=data_dir or None)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise UserError(f"unknown dataset {name!r}: known are digits and the sets of TensorFlow Datasets") from error
    try:
        sources = {split: builder.as_data_source(split) for split in ("train", "test")}
    except (NotImplementedError, OSError) as error:  # nothing there, or files of another format
        raise UserError(
            f"dataset {name!r} is not prepared as array_record in {builder.data_path}; with the extra [prepare], "
            f"prepare it with: tfds build {name} --file_format=array_record --data_dir={builder.data_dir_root}"
        ) from error
    except (ValueError, KeyError):
        raise UserError(f"dataset {name!r} has no splits train and test") from None
    features = builder.info.features
    if not {"image", "label"} <= set(features):
        raise UserError(f"dataset {name!r} is no image classification: its features are {', '.join(features)}")

    def arrays(split: str):
        examples = list(sources[split])
        labels = np.asarray([example["label"] for example in examples], np.int32)
        return np.stack([example["image"] for example in examples]), labels

    return arrays("train"), arrays("test"), features["label"].num_classes
