"""Cropping images of any size to one, at random or from the middle, in worker processes: no JAX here.

An augmentation of streamed images is a function (rng, image, size) -> image that can be pickled; `size` (W, H) is
what the image will be cropped to. One that gives it this size itself decides what is cropped.
"""

import copy
import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from resjax.nn.arguments import checked
from resjax.nn.kinds import Positive, Probability

CENTER = 7 / 8  # of the shorter side, for evaluation (He et al. 2015: 224 of 256 pixels)

Augmentation = Callable[[np.random.Generator, Image.Image, tuple[int, int]], Image.Image]


@checked
@functools.cache
def resized_crop(area: tuple[Probability, Probability] = (0.08, 1.0), ratio: Positive = 4 / 3) -> Augmentation:
    """A random part of the image, resized to what is wanted (Szegedy et al. 2015, arXiv 1409.4842, section 6).

    Args:
      area: the least and the greatest share of the image's area.
      ratio: how much wider or higher than square the part is at most, before it is resized.

    Raises:
      ValueError: the least share is more than the greatest.
    """
    if area[0] > area[1]:
        raise ValueError(f"area must be two shares, the least and the greatest, not {area}")
    return functools.partial(_resized_crop, area=area, ratio=ratio)


def flip() -> Augmentation:
    """Left and right change places in half of the images."""
    return _flip


def cropped(
    example: dict,
    rng: np.random.Generator | None = None,
    *,
    shape: tuple[int, int, int],
    augmentations: tuple[Augmentation, ...] = (),
) -> dict:
    """Image (H W C, of the given shape) and label of an example, after the augmentations.

    Where none of them gave the image its size, it is the middle: ⅞ of the shorter side, as a square. An image that is
    not uint8 becomes float32: Pillow has no such colours, so each channel is an image, and all have the same draws.
    """
    image = example["image"]
    if image.dtype == np.uint8:
        picture = Image.fromarray(image.squeeze(-1) if shape[-1] == 1 else image)
        pixels = _changed(picture, rng, shape, augmentations)
    else:
        channels = [Image.fromarray(channel) for channel in np.moveaxis(image.astype(np.float32), -1, 0)]
        pixels = np.stack([_changed(channel, copy.deepcopy(rng), shape, augmentations) for channel in channels], -1)
    return {"image": pixels.reshape(shape), "label": example["label"]}


def _changed(
    image: Image.Image,
    rng: np.random.Generator | None,
    shape: tuple[int, int, int],
    augmentations: tuple[Augmentation, ...],
) -> np.ndarray:
    height, width, _ = shape
    for augmentation in augmentations:
        image = augmentation(rng, image, (width, height))  # type: ignore[arg-type]  # where one is, there is a generator
    if image.size != (width, height):
        side = CENTER * min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    return np.asarray(image)


def _resized_crop(
    rng: np.random.Generator,
    image: Image.Image,
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: float,
) -> Image.Image:
    width, height = image.size
    for _ in range(10):
        share = rng.uniform(*area)
        aspect = ratio ** rng.uniform(-1, 1)
        w = round((width * height * share * aspect) ** 0.5)
        h = round((width * height * share / aspect) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left = rng.integers(width - w + 1)
            top = rng.integers(height - h + 1)
            return image.resize(size, Image.Resampling.BILINEAR, (left, top, left + w, top + h))
    return image  # too long and thin for any: its middle will be cropped


def _flip(rng: np.random.Generator, image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image
