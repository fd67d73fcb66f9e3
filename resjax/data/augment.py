"""What happens to images in memory between the data set and the network, inside the training step.

An augmentation is a function (key, images B H W C) -> images. The factories here return one function for equal
arguments, so that equal training steps compile once. They are for images alone: tokens B T are refused.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from resjax.nn.arguments import checked
from resjax.nn.kinds import Size

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]  # (key, images B H W C) -> images


def normalize(
    images: Shaped[Array | np.ndarray, "... C"], mean: Float[Array, " C"] | None, std: Float[Array, " C"] | None
) -> Shaped[Array, "... C"]:
    """Images (… C) in floating point, with the training images' mean and standard deviation (C) taken out.

    Without these the inputs are what they were; tokens, which are integers, become int32.
    """
    if mean is None or std is None:
        return jnp.asarray(images, jnp.int32) if jnp.issubdtype(images.dtype, jnp.integer) else jnp.asarray(images)
    return (jnp.asarray(images, mean.dtype) - mean) / std


def augment(
    augmentations: tuple[Augmentation, ...], key: PRNGKeyArray, images: Shaped[Array, "B ..."]
) -> Shaped[Array, "B ..."]:
    """Normalised images (B H W C), or what else a step gets, after these augmentations, each with a key of its own."""
    for number, change in enumerate(augmentations):
        images = change(jax.random.fold_in(key, number), images)
    return images


@checked
@functools.cache
def crop(pad: Size = 4) -> Augmentation:
    """Zeros around the image, then a random window of its size (He et al. 2015, section 4.2: pad 4).

    Args:
      pad: how many zeros, in pixels, on each side.; less than the image has, so that some of it is left
    """

    def change(key, images):
        _check(images)
        batch, *size, channels = images.shape
        if pad >= min(size):
            raise ValueError(f"pad={pad}: must be less than {min(size)}, the shorter side of the images")
        padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        corner = jax.random.randint(key, (batch, 2), 0, 2 * pad + 1)  # B 2

        def window(image, corner):
            return jax.lax.dynamic_slice(image, (*corner, 0), (*size, channels))

        return jax.vmap(window)(padded, corner)

    return change


@functools.cache
def flip() -> Augmentation:
    """Left and right change places in half of the images."""

    def change(key, images):
        _check(images)
        flipped = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
        return jnp.where(flipped, images[:, :, ::-1], images)

    return change


def _check(images: Array):
    if images.ndim != 4:
        raise ValueError(f"this augmentation is for images B H W C, not for examples of shape {images.shape[1:]}")
