"""Data sets of pictures in a folder."""

import pathlib

import numpy as np

from resjax.data import splits
from resjax.data.dataset import Dataset
from resjax.data.pictures import Form, Pictures, classes_in, form_of
from resjax.data.sources import Wanted, assembled
from resjax.data.validate import naming

SPLITS = {*splits.NAMES, "training", "testing", "eval", "evaluation"}  # in small letters


def folder(path: str | pathlib.Path, wanted: Wanted = Wanted()) -> Dataset:  # noqa: B008  # frozen
    """The data set of the pictures in a folder, with a folder for each class, whose names are sorted.

    Examples are in an order that is drawn once, for the first of them stand for all.

    With folders `train`, and `test`, `validation`, `val` or `valid` these are the splits, each with the folders of the
    classes; where no split tests, a sixth is held out. Pictures are grey if all of them are, else RGB, and transparency
    is left out. If all have one size and fit, they are held in memory as they are, otherwise streamed (see `load`).

    Raises:
      ValueError: no such folder, fewer than two classes, a class that only tests, a folder that looks like a split and
        is not called as one, a file that is no picture, or splits that cannot be.
    """
    name = f"folder:{path}"
    root = pathlib.Path(path)
    with naming(name):
        if not root.is_dir():
            raise ValueError("there is no such folder")
        inner = [split for split in splits.NAMES if (root / split).is_dir()]
        used = inner if "train" in inner else []
        odd = [place.name for place in sorted(root.iterdir()) if place.name not in used and _holds_classes(place)]
        if odd:
            called = "train, and test, validation, val or valid"
            raise ValueError(f"{' and '.join(odd)}: folders that hold those of the classes must be called {called}")
        whole = {split: root / split for split in used} or {"train": root}
        found = {split: classes_in(place) for split, place in whole.items()}
        found = {split: own for split, own in found.items() if own}  # a test split without classes has no labels
        names = sorted(found.get("train", {}))
        if len(names) < 2:
            raise ValueError(f"needs a folder of pictures for each of two classes or more, but has {len(names)}")
        strange = {label: split for split, own in found.items() for label in own if label not in names}
        for label, split in strange.items():
            raise ValueError(f"{split}/{label} is a class that train has not: it has {', '.join(names)}")
        files = {
            split: [(str(file.relative_to(root)), names.index(label)) for label, each in own.items() for file in each]
            for split, own in found.items()
        }
        form = form_of(root, (file for own in files.values() for file, _ in own))
        sources = {split: _source(root, own, form) for split, own in files.items()}
    return assembled(name, sources, form, len(names), wanted)


def _holds_classes(place: pathlib.Path) -> bool:
    """Whether a folder has the name of a split, in any spelling, and folders in it."""
    return place.name.lower() in SPLITS and place.is_dir() and any(inner.is_dir() for inner in place.iterdir())


def _source(root: pathlib.Path, files: list[tuple[str, int]], form: Form) -> Pictures:
    files = [files[at] for at in np.random.default_rng(0).permutation(len(files))]
    return Pictures(str(root), tuple(file for file, _ in files), tuple(label for _, label in files), form)
