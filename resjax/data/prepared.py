"""What TensorFlow Datasets has prepared, read without TensorFlow."""

import dataclasses
import io
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from resjax.data.pictures import Form, decode, tell_deep_colors

NAME = re.compile(r"\w+(/\w[\w.-]*)?(:[\d.*]+)?", re.ASCII)  # of a set, its configuration and its version


class NotPrepared(ValueError):
    """A set of TensorFlow Datasets that is not there to be read."""

    def __init__(self, what: str, name: str, data_dir: str):
        how = f"tensorflow_datasets.builder({name!r}, data_dir={data_dir!r}, file_format='array_record')"
        super().__init__(f"{what}: prepare it with: {how}.download_and_prepare()")
        self.what = what  # is the matter
        self.name = name
        self.data_dir = data_dir


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A source of TensorFlow Datasets whose pictures are decoded here: TFDS knows no grey among colours, no 16 bits."""

    source: Any  # random access to dicts of image, as it is in the file, and label
    form: Form

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.source[index]
        return {"image": decode(io.BytesIO(example["image"]), self.form), "label": example["label"]}


class Prepared(NamedTuple):
    """What a prepared set has."""

    sources: dict[str, Any]  # random access, by split
    form: Form
    classes: int


def prepared(name: str, data_dir: str, others: str = "") -> Prepared:
    """What is there of a set of TensorFlow Datasets.

    Args:
      name: of the set.
      data_dir: where it is; "" is ~/tensorflow_datasets.
      others: known names of other sets, for the error.

    Raises:
      NotPrepared: the set is not there. ValueError: an unknown name, a set that is no image classification, or one of
        which files are missing.
    """
    import tensorflow_datasets as tfds  # two seconds that digits do not need

    try:
        if not NAME.fullmatch(name):
            raise ValueError("a path, or a set that TensorFlow Datasets would load code for")
        builder = tfds.builder(name, data_dir=data_dir or None)
    except (tfds.core.registered.DatasetNotFoundError, ValueError, AssertionError) as error:
        known = f"known are {others} and " if others else "known are "
        raise ValueError(f"unknown dataset {name!r}: {known}the sets of TensorFlow Datasets") from error
    features = builder.info.features
    _check(name, features)
    image = features["image"]
    form = Form(tuple(image.shape), np.dtype(image.np_dtype).name)
    if form.dtype == "uint16" and form.shape[-1] > 1:
        tell_deep_colors(f"dataset {name!r}")
    own = form.dtype == "uint16" or (form.dtype == "uint8" and None in form.shape)  # float32 is four bytes a pixel
    decoders = {"image": tfds.decode.SkipDecoding()} if own else None
    splits = [split for split in builder.info.splits if _there(name, builder, split)] or ["train", "test"]
    try:
        sources = {split: builder.as_data_source(split, decoders=decoders) for split in splits}
    except (NotImplementedError, OSError) as error:  # nothing there, or files of another format
        raise NotPrepared(_missing(name, builder), name, str(builder.data_dir_root)) from error
    sources = {split: Decoded(source, form) for split, source in sources.items()} if own else sources
    return Prepared(sources, form, features["label"].num_classes)


def _check(name: str, features: Any) -> None:
    """Refuses features that are no image and its class."""
    import tensorflow_datasets as tfds

    several = isinstance(features, tfds.features.FeaturesDict)
    known = ", ".join(features) if several else type(features).__name__
    if not several or not {"image", "label"} <= set(features):
        raise ValueError(f"dataset {name!r} is no image classification: its features are {known}")
    image = features["image"]
    label = features["label"]
    if not isinstance(image, tfds.features.Image):
        raise ValueError(f"dataset {name!r}: its feature image must be an Image, not {type(image).__name__}")
    if image.shape[-1] not in (1, 3, 4) or np.dtype(image.np_dtype) not in (np.uint8, np.uint16, np.float32):
        raise ValueError(f"dataset {name!r}: its images must have 1, 3 or 4 channels of uint8, uint16 or float32")
    if not isinstance(label, tfds.features.ClassLabel) or not label.num_classes:
        raise ValueError(f"dataset {name!r}: its feature label must be a ClassLabel, not {type(label).__name__}")


def _there(name: str, builder: Any, split: str) -> bool:
    """Whether the files of a split are there; a split that is gone as a whole was left out on purpose."""
    files = [pathlib.Path(path) for path in builder.info.splits[split].filepaths]
    missing = [path for path in files if not path.exists()]
    if missing and len(missing) < len(files):
        raise ValueError(f"dataset {name!r}: {missing[0]} is missing, one of the {len(files)} files of {split}")
    return not missing


def _missing(name: str, builder) -> str:
    folder = pathlib.Path(builder.data_path)
    others = sorted(path.name for path in folder.parent.glob("*.*.*"))
    if folder.name in others:
        return f"dataset {name!r} in {folder} is not array_record"
    if others:
        versions = f"version {', '.join(others)} in {folder.parent}"
        return f"dataset {name!r} is prepared as {versions}, version {folder.name} is needed"
    return f"dataset {name!r} is not prepared in {folder}"
