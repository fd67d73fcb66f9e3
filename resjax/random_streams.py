"""Independent random streams of one key, by name: no two uses of a run's key share their numbers."""

import zlib

import jax
from jaxtyping import PRNGKeyArray

TRAINING = ("weights", "order", "noise", "augmentations", "gates")  # their numbers decide all that was ever trained


def stream(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """The key of the stream of this name. A new name is a new stream, and needs no list."""
    return jax.random.fold_in(key, TRAINING.index(name) if name in TRAINING else zlib.crc32(name.encode()))
