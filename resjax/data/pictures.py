"""Pictures in files: decoded to one form whatever each is, and a folder of them as a source. No JAX here."""

import collections
import dataclasses
import os
import pathlib
import sys
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
from PIL import Image

from resjax.data.validate import one_line

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's names of so many channels
GREY = ("1", "L", "LA", "La")
DEEP = ("I;16", "I;16B", "I;16L", "I;16N")  # grey, 16 bits
NUMBERS = ("I", "F")  # grey, 32 bits: on no scale that is known
SCALE = 257  # 65535 / 255


@dataclasses.dataclass(frozen=True)
class Form:
    """What the pictures of a set have in common."""

    shape: tuple[int | None, int | None, int]  # H W C; None where they differ
    dtype: str  # uint8, uint16 (some have 16 bits), or float32


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Files and their labels: a source of dicts of image (H W C, of the given form) and label."""

    root: str
    files: tuple[str, ...]  # below the root
    labels: tuple[int, ...]
    form: Form

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            image = decode(pathlib.Path(self.root, self.files[index]), self.form)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{self.files[index]}: {one_line(error)}") from error
        return {"image": image, "label": self.labels[index]}


def decode(file: str | pathlib.Path | IO[bytes], form: Form) -> np.ndarray:
    """The picture (H W C) in a file, with the channels and the type of a form.

    Grey becomes colour by repetition; transparency is left out, unless there are four channels; 16 bits become 8, or 8
    become 16, on the scale of the form. Of colours with 16 bits the upper 8 are read, as Pillow does.

    Raises:
      ValueError: a picture of 32-bit numbers among others. OSError: what Pillow cannot read.
    """
    channels = form.shape[-1]
    with Image.open(file) as image:
        mode = image.mode
        pixels = np.asarray(image if mode in (*DEEP, *NUMBERS) else image.convert(MODES[channels]))
    if (mode in NUMBERS) != (form.dtype == "float32"):
        raise ValueError(f"a picture of mode {mode} cannot be among pictures of {form.dtype}")
    if mode in DEEP and form.dtype == "uint8":
        pixels = (pixels // SCALE).astype(np.uint8)
    if mode not in DEEP and form.dtype == "uint16":
        pixels = pixels.astype(np.uint16) * SCALE
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.repeat(pixels, channels // pixels.shape[-1], axis=-1).astype(form.dtype, copy=False)


def form_of(root: pathlib.Path, files: Iterable[str]) -> Form:
    """The form of these pictures, by their headers: RGB if one has colour; 16 bits if one has, and all are grey.

    Says so where colours have 16 bits, of which `decode` reads 8.

    Raises:
      ValueError: a file that is no picture, or pictures of 32-bit numbers among others.
    """
    sizes = set()
    modes: dict[str, str] = {}  # with the first file of each
    deep_colors = []
    for file in files:
        try:
            with Image.open(root / file) as image:
                sizes.add(image.size)
                modes.setdefault(image.mode, file)
                if image.mode not in DEEP and any(";16" in str(tile.args) for tile in getattr(image, "tile", ())):
                    deep_colors.append(file)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} is no picture that can be read: {one_line(error)}") from error
    if deep_colors:
        tell_deep_colors(deep_colors[0])
    numbers = [mode for mode in modes if mode in NUMBERS]
    if numbers and len(modes) > len(numbers):
        other = next(mode for mode in modes if mode not in NUMBERS)
        raise ValueError(f"{modes[numbers[0]]} has 32-bit numbers, but {modes[other]} has mode {other}")
    colored = any(mode not in (*GREY, *DEEP, *NUMBERS) for mode in modes)
    deep = not colored and any(mode in DEEP for mode in modes)
    widths, heights = (set(lengths) for lengths in zip(*sizes, strict=True))
    shape = (_one(heights), _one(widths), 3 if colored else 1)
    return Form(shape, "float32" if numbers else "uint16" if deep else "uint8")


def tell_deep_colors(whose: str) -> None:
    """Says that colours lose half of their bits."""
    print(f"{whose} has colours of 16 bits: the upper 8 are read", file=sys.stderr)


def classes_in(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The pictures of each class, whose name is that of a folder, in the order of their names.

    Raises:
      ValueError: a folder without pictures.
    """
    endings = Image.registered_extensions()
    found: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    for label in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for inner, folders, files in os.walk(label, followlinks=True):
            folders.sort()
            pictures = [name for name in files if not name.startswith(".")]
            found[label.name] += [
                pathlib.Path(inner, name) for name in sorted(pictures) if pathlib.Path(name).suffix.lower() in endings
            ]
        if not found[label.name]:
            raise ValueError(f"{label} holds no picture")
    return dict(found)


def _one(lengths: set[int]) -> int | None:
    return next(iter(lengths)) if len(lengths) == 1 else None
