"""What every data set must be, checked where it enters; an error is one line that says which example it is.

No JAX here: worker processes check streamed examples.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Shaped

from resjax.system.errors import Failure

EXACT = (np.int8, np.int16, np.uint16)  # integers that float32 holds as they are
LARGEST = float(np.finfo(np.float32).max)


class Unusable(Failure, ValueError):
    """An example that cannot be read, or that is not what its set promises."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """A split of which every example that is read is an image H W C and a label from 0 to K - 1."""

    source: Any  # random access to dicts of image and label
    name: str  # of the set and the split, in messages
    channels: int
    classes: int

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and label as they are.

        Raises:
          Unusable: they cannot be read.
        """
        try:
            example = self.source[index]
            return np.asarray(example["image"]), np.asarray(example["label"])
        except Exception as error:  # of many kinds: a missing file, a damaged shard, a picture that ends too early
            raise Unusable(f"{self.name}: example {index} cannot be read: {one_line(error)}") from error

    def __getitem__(self, index: int) -> dict[str, Any]:
        where = f"{self.name}: example {index}"
        image, label = self.read(index)
        if image.ndim != 3 or image.shape[-1] != self.channels or not image.size:
            raise Unusable(f"{where} must be an image of {self.channels} channels: its shape is {image.shape}")
        if not finite(image[None])[0]:
            raise Unusable(f"{where} has pixels that are not finite")
        if label.shape or label.dtype.kind not in "iu" or not 0 <= label < self.classes:
            raise Unusable(f"{where}: its label must be from 0 to {self.classes - 1}, not {label}")
        return {"image": image, "label": label}


def images(values: Shaped[ArrayLike, "N ..."], which: str = "") -> Shaped[np.ndarray, "N ..."]:
    """The images as an array of uint8 or floating point; integers of 8 and 16 bits with a sign, or 16, are float32.

    Raises:
      ValueError: another type, no axis beside N, none at all, or values that are not finite in float32.
    """
    array = np.asarray(values)
    if array.dtype in EXACT:
        array = array.astype(np.float32)
    if array.dtype != np.uint8 and not floating(array):
        raise ValueError(f"{which}images must be uint8 or floating point, not {array.dtype}")
    if array.ndim < 2 or not array.size:
        raise ValueError(f"{which}images must be N H W C or N …, and not empty: their shape is {array.shape}")
    usable = finite(array)
    if not usable.all():
        raise ValueError(f"{which}images have values that are not finite: example {int(usable.argmin())}")
    return array


def labels(values: Shaped[ArrayLike, "N ..."], count: int, which: str = "") -> Shaped[np.ndarray, " N"]:
    """The labels, one integer for each of so many images; N 1 counts as N.

    Raises:
      ValueError: another type, shape or number.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{which}labels must be integers, not {array.dtype}")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{which}labels must be one integer an image: their shape is {array.shape}")
    if len(array) != count:
        raise ValueError(f"there are {count} {which}images and {len(array)} {which}labels")
    return array


def targets(values: Shaped[ArrayLike, "N ..."], count: int, which: str = "") -> Shaped[np.ndarray, "N ..."]:
    """The labels of so many inputs (see `labels`), or what a regression is to say of each: N D float32; N is N 1.

    Raises:
      ValueError: another type, shape or number, or targets that are not finite in float32.
    """
    array = np.asarray(values)
    if not floating(array):
        return labels(array, count, which)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(f"{which}targets must be N or N D: their shape is {array.shape}")
    if len(array) != count:
        raise ValueError(f"there are {count} {which}images and {len(array)} {which}targets")
    usable = finite(array)
    if not usable.all():
        raise ValueError(f"{which}targets are not finite: that of example {int(usable.argmin())}")
    return array.astype(np.float32)


def tokens(values: Shaped[ArrayLike, "N T"], vocabulary: int, what: str) -> Shaped[np.ndarray, "N T"]:
    """Integers N T from 0 to vocabulary - 1.

    Raises:
      ValueError: another type or shape, none at all, or one out of range; the line says `what`.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{what} must be integers, not {array.dtype}")
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{what} must be N T, and not empty: their shape is {array.shape}")
    in_range(array, vocabulary, what)
    return array


def in_range(values: Shaped[np.ndarray, "N ..."], classes: int, what: str = "labels") -> None:
    """Checks that labels or tokens are from 0 to K - 1.

    Raises:
      ValueError: one is not; the line says `what`.
    """
    wrong = (values < 0) | (values >= classes)
    if wrong.any():
        first, *place = np.unravel_index(wrong.argmax(), wrong.shape)
        which = f"token {place[0]} of example {first}" if place else f"that of example {first}"
        raise ValueError(f"{what} must be from 0 to {classes - 1}: {which} is {values[first, *place]}")


def finite(array: Shaped[np.ndarray, "N ..."]) -> Shaped[np.ndarray, " N"]:
    """Which examples have values, all of them, that float32 can hold."""
    if not floating(array):
        return np.ones(len(array), bool)
    flat = array.reshape(len(array), -1)
    return (flat.min(1).astype(float) >= -LARGEST) & (flat.max(1).astype(float) <= LARGEST)  # NaN is neither


def floating(array: np.ndarray) -> bool:
    """Whether it is of floating point, bfloat16 included, which NumPy does not know."""
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Within this context, what is refused says of which set."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def one_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
