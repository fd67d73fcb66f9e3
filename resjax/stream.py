"""Sets too large for the device: read, decoded and changed by Grain's worker processes, batch by batch."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from resjax import names, pixels

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # the usual ones of ImageNet, in pixel units
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


def cut_out(example: dict, changes: tuple, shape: tuple[int, int, int], rng: np.random.Generator | None = None) -> dict:
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


@dataclasses.dataclass(frozen=True)
class Stream:
    """One split of a set that is read from disk."""

    source: Any  # random access to dicts of image (any size, uint8) and label
    shape: tuple[int, int, int]  # H W C, to which the images are cut

    def __len__(self):
        return len(self.source)

    def first(self, examples: int) -> "Stream":
        """The first so many examples."""
        return dataclasses.replace(self, source=grain.MapDataset.source(self.source)[:examples])

    def all(self, size: int) -> Iterator[tuple[jax.Array, jax.Array]]:
        """Every example once, cut from the middle, in batches of `size`; the last is filled up from the start."""
        examples = grain.MapDataset.source(self.source).repeat()[: -(-len(self) // size) * size]
        cut = examples.map(lambda example: cut_out(example, (), self.shape))
        for batch in cut.batch(size).to_iter_dataset():
            yield self._given(batch).batch(None, None)

    def check(self, changes: tuple[str, ...]):
        """Raises UserError: an unknown change of the training images."""
        for change in changes:
            build(change)

    def batches(self, batch_size: int, changes: tuple[str, ...], seed: int) -> "Batches":
        """The training batches, with these changes."""
        built = tuple(map(build, changes))
        examples = grain.MapDataset.source(self.source).seed(seed).shuffle().repeat()
        cut = examples.random_map(lambda example, rng: cut_out(example, built, self.shape, rng))
        workers = grain.MultiprocessingOptions(num_workers=os.cpu_count())
        return Batches(iter(cut.batch(batch_size).to_iter_dataset().mp_prefetch(workers)), self._given)

    def abstract(self, batch_size: int, changes: tuple[str, ...]) -> "Given":
        """The shape of what `batches` give, to compile for."""
        image = jax.ShapeDtypeStruct((batch_size, *self.shape), jnp.uint8)
        return dataclasses.replace(
            self._given(None), images=image, labels=jax.ShapeDtypeStruct((batch_size,), jnp.int32)
        )

    def _given(self, batch) -> "Given":
        mean, std = (jnp.asarray(np.resize(values, self.shape[-1]), jnp.float32) for values in (MEAN, STD))
        images, labels = (
            (jnp.asarray(batch["image"]), jnp.asarray(batch["label"], jnp.int32)) if batch else (None, None)
        )
        return Given(images, labels, mean, std)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Given:
    """What a training step needs of a streamed set: its batch."""

    images: jax.Array  # B H W C uint8
    labels: jax.Array  # B
    mean: jax.Array  # C
    std: jax.Array  # C

    def batch(self, key, step):
        """Normalised images (B H W C) and labels (B)."""
        return pixels.normalize(self.images, self.mean, self.std), self.labels


class Batches:
    """The training batches, one after the other; the place in the stream is kept in the checkpoint."""

    def __init__(self, batches, given):
        self._batches, self._given = batches, given

    def at(self, step: int) -> Given:
        """The next batch: steps must come one after the other."""
        return self._given(next(self._batches))

    def state(self) -> dict:
        """The place in the stream."""
        return self._batches.get_state()

    def restore(self, state: dict):
        """Goes on where `state` was taken."""
        self._batches.set_state(state)
