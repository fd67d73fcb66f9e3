"""Data sets in a file of NumPy's."""

import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from resjax.data import splits
from resjax.data.dataset import Dataset
from resjax.data.from_splits import of_splits
from resjax.data.validate import naming, one_line

PAIRS = {  # the names of the arrays of images and labels, of one split
    "x_{}": "y_{}",
    "{}_images": "{}_labels",
}
WHOLE = {"images": "labels", "x": "y"}  # of all examples
EXPECTED = "images and labels; x and y; x_train, y_train, x_test and y_test; or train_images, train_labels, …"


def npz(path: str | pathlib.Path, train_split: str = "", test_split: str = "") -> Dataset:
    """The data set in a file of `numpy.savez`, held on the device (see `arrays`).

    Args:
      path: of the file. Images are N H W C, N H W (grey) or N D (rows of numbers, N 1 1 D); labels are N integers or,
        in a regression, N D floating point. They are called `images` and `labels`, or `x` and `y`; with splits
        `x_train`, `y_train`, `x_test`, `y_test` as in Keras, or `train_images`, `train_labels` and so on as in
        MedMNIST.
      train_split: see `splits.choose`.
      test_split: likewise. Where no split tests, a sixth is held out (see `arrays`).

    Raises:
      ValueError: no such file, other arrays in it, or examples or splits that cannot be.
    """
    name = f"npz:{path}"
    with naming(name):
        try:
            file = np.load(path, allow_pickle=False)
            found = dict(file) if isinstance(file, Mapping) else {"one array without a name": file}
        except FileNotFoundError:
            raise ValueError("there is no such file") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"cannot be read: {one_line(error)}") from error
        named: dict[str, tuple[str, str]] = {}
        for split, *both in _pairs(found):
            if split in named:
                raise ValueError(f"holds {named[split][0]} and {both[0]}, which are both {split}: leave one out")
            named[split] = both[0], both[1]
        pairs = {split: (found[x], found[y]) for split, (x, y) in named.items()}
        if not pairs:
            raise ValueError(f"holds {', '.join(sorted(found))}: it must hold {EXPECTED}")
    return of_splits(name, pairs, train_split, test_split)


def _pairs(found: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str, str]]:
    """Split and the names of its images and labels."""
    for split in splits.NAMES:
        for x, y in PAIRS.items():
            if {x.format(split), y.format(split)} <= found.keys():
                yield split, x.format(split), y.format(split)
    for x, y in WHOLE.items():
        if {x, y} <= found.keys():
            yield "train", x, y
