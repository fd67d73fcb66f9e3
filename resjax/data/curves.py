"""MNIST-1D: ten curves, moved, stretched and covered with noise, for questions that need small data, not easy data.

Greydanus & Kobak 2020 (arXiv 2011.14439), section 2 and table 1; templates and parameters are those of their code,
the numbers drawn are our own. They report 32 % for a linear classifier, 68 % for a dense network of two hidden layers,
94 % for a convolutional one and 96 % for a person, on 1000 test examples.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float

from resjax.data.dataset import Dataset
from resjax.data.from_arrays import arrays

EXAMPLES = 5000
TRAINING = 4000  # of them
POINTS = 40
TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
PADDING = 36, 60  # zeros behind the template, the fewest and the most
LENGTH = len(TEMPLATES[0]) + PADDING[1]  # of a curve before it is sampled
SCALE = 0.4  # the curve is multiplied by 1 ± half of this
SHIFT = 48  # points to the right, fewer than this
SHEAR = 0.75  # the line that is taken away falls or rises by at most half of this
CORRELATED_NOISE = 0.25  # before it is smoothed; only where the template is not
SMOOTHING = 2.0  # points, the Gaussian's standard deviation
NOISE = 0.02  # everywhere


@functools.cache
def mnist1d() -> Dataset:
    """MNIST-1D, drawn with a fixed seed: 4000 training and 1000 held-out curves of 40 points, 10 classes.

    An image is one pixel high and 40 wide, 1 40 1.
    """
    rng = np.random.default_rng(42)
    labels = rng.permutation(np.repeat(np.arange(len(TEMPLATES)), EXAMPLES // len(TEMPLATES)))  # N
    curves = templates()  # K 12
    images = np.stack([curve(rng, curves[label]) for label in labels])  # N 40
    images = images.astype(np.float32).reshape(EXAMPLES, 1, POINTS, 1)  # N H W C
    test = images[TRAINING:], labels[TRAINING:]
    return dataclasses.replace(arrays(images[:TRAINING], labels[:TRAINING], test), name="mnist1d")


def templates() -> Float[np.ndarray, "K 12"]:
    """The ten templates: standard deviation 1/6, the first point at 0."""
    curves = np.array(TEMPLATES)
    curves = curves / curves.std(1, keepdims=True) / 6
    return curves - curves[:, :1]


def curve(rng: np.random.Generator, template: Float[np.ndarray, " 12"]) -> Float[np.ndarray, " 40"]:
    """One example: the template padded and thus stretched, scaled, shifted, with noise, sheared, sampled."""
    zeros = rng.integers(PADDING[0], PADDING[1] + 1)
    # a template's zeros count as template, a padded zero does not, and 1e-8 tells them apart
    stretched = resampled(np.concatenate([template + 1e-8, np.zeros(zeros)]), LENGTH)
    scaled = stretched * rng.uniform(1 - SCALE / 2, 1 + SCALE / 2)
    shifted = np.roll(scaled, rng.integers(SHIFT))
    noisy = np.where(shifted != 0, shifted, correlated_noise(rng, LENGTH)) + NOISE * rng.normal(size=LENGTH)
    slope = SHEAR * rng.uniform(-0.5, 0.5)
    return resampled(noisy - slope * np.linspace(-0.5, 0.5, LENGTH), POINTS)


def correlated_noise(rng: np.random.Generator, points: int) -> Float[np.ndarray, " {points}"]:
    """White noise that a Gaussian has smoothed; its ends are mirrored."""
    from scipy import ndimage  # a tenth of a second that other sets do not need

    return ndimage.gaussian_filter(CORRELATED_NOISE * rng.normal(size=points), SMOOTHING)


def resampled(values: Float[np.ndarray, " n"], points: int) -> Float[np.ndarray, " {points}"]:
    """So many points of a curve, evenly from its first to its last, by linear interpolation."""
    places = np.linspace(0, len(values) - 1, points)
    return np.interp(places, np.arange(len(values)), values)
