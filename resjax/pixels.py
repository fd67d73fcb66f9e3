"""What happens to images between the data set and the network, inside the training step."""

import jax
import jax.numpy as jnp

from resjax import names


def normalize(images, mean, std):
    """uint8 (… C) -> floating point, with the training images' mean and standard deviation (C)."""
    return (images.astype(mean.dtype) - mean) / std


def crop(pad: int = 4):
    """Zeros around the image, then a random window of its size (He et al. 2015, section 4.2: pad 4)."""

    def change(key, images):
        batch, *size, channels = images.shape
        padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        corner = jax.random.randint(key, (batch, 2), 0, 2 * pad + 1)  # B 2

        def window(image, corner):
            return jax.lax.dynamic_slice(image, (*corner, 0), (*size, channels))

        return jax.vmap(window)(padded, corner)

    return change


def flip():
    """Left and right change places in half of the images."""

    def change(key, images):
        flipped = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
        return jnp.where(flipped, images[:, :, ::-1], images)

    return change


CHANGES = {"none": lambda: lambda key, images: images, "crop": crop, "flip": flip}


def build(text: str):
    """The random change of images that `text` names: a function (key, images B H W C) -> images."""
    return names.build(text, "change of images", CHANGES)


def change(changes: tuple[str, ...], key, images):
    """Normalised images (B H W C) after the named changes, each drawn with a key of its own."""
    for place, text in enumerate(changes):
        images = build(text)(jax.random.fold_in(key, place), images)
    return images
