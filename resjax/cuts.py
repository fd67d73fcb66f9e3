"""Cutting images of any size to one, at random or from the middle, in worker processes: no JAX here."""

import numpy as np
from PIL import Image

from resjax import names

MIDDLE = 7 / 8  # of the shorter side, for evaluation (He et al. 2015: 224 of 256 pixels)


def resized_crop(area: tuple[float, float] = (0.08, 1.0), ratio: float = 4 / 3):
    """A random part of the image, of this share of its area and at most this much wider or higher than square."""

    def change(rng: np.random.Generator, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        width, height = image.size
        for _ in range(10):
            share, aspect = rng.uniform(*area), ratio ** rng.uniform(-1, 1)
            w, h = round((width * height * share * aspect) ** 0.5), round((width * height * share / aspect) ** 0.5)
            if 0 < w <= width and 0 < h <= height:
                left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
                return image.resize(size, Image.Resampling.BILINEAR, (left, top, left + w, top + h))
        return image  # too long and thin for any: its middle will be cut out

    return change


def flip():
    """Left and right change places in half of the images."""

    def change(rng: np.random.Generator, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image

    return change


CHANGES = {"none": lambda: lambda rng, image, size: image, "resized_crop": resized_crop, "flip": flip}


def build(text: str):
    """The random change of images that `text` names: a function (rng, image, its size in the end) -> image."""
    return names.build(text, "change of streamed images", CHANGES)


def cut_out(
    example: dict, rng: np.random.Generator | None = None, *, shape: tuple[int, int, int], changes: tuple = ()
) -> dict:
    """Image (H W C, of the given shape) and label of an example, after the changes.

    Where no change gave the image its size, it is the middle: ⅞ of the shorter side, as a square.
    """
    height, width, channels = shape
    image = Image.fromarray(example["image"].squeeze(-1) if channels == 1 else example["image"])
    for change in changes:
        image = change(rng, image, (width, height))
    if image.size != (width, height):
        side = MIDDLE * min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    return {"image": np.asarray(image).reshape(shape), "label": example["label"]}
