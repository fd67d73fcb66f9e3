"""What training needs of data, be it in memory or streamed: examples, their batches, and what one step gets.

An example is an input and its target: an image H W C and its label; tokens T and, for each of them, a label; numbers D
and, in a regression, others.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray, Shaped

from resjax.system.sharding import Layout


@runtime_checkable
class Source(Protocol):
    """What one training step gets: a pytree, made for that step."""

    def batch(self, key: PRNGKeyArray, step: Int[Array, ""]) -> tuple[Shaped[Array, "B ..."], Shaped[Array, "B ..."]]:
        """Within `jit`: inputs (B …), images normalised and augmented, and targets (B …), labels B for images."""

    @property
    def several(self) -> Any:
        """The axes of what several networks get, for `vmap`; None where all share it."""


@runtime_checkable
class Batches(Protocol):
    """The training batches. A batch follows from the key and its step, so a checkpoint need not hold a place."""

    def at(self, step: int) -> Source:
        """What this step gets. Steps come one after the other, from any one on."""


@runtime_checkable
class Examples(Protocol):
    """One split of a data set."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input: H, W, C of an image, T of tokens."""

    @property
    def example(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """One input and its target, in the shapes and types in which a training step gets them."""

    def __len__(self) -> int: ...

    def first(self, examples: int) -> "Examples":
        """The first so many examples, a set of its own."""

    def on(self, layout: Layout) -> Self:
        """The same on the devices of a layout."""

    def all(self, size: int) -> Iterator[tuple[Shaped[Array, "B ..."], Shaped[Array, "B ..."]]]:
        """Every example once, normalised, in batches of `size`; the last is filled up from the start."""

    def batches(self, batch_size: int, augmentations: tuple[Callable, ...], key: Key[Array, "*M"]) -> Batches:
        """The training batches, for one network or, with a vector of keys, for several."""

    def abstract(self, batch_size: int, augmentations: tuple[Callable, ...], num_seeds: int = 0) -> Source:
        """The shape of what `batches` give a step, for one network (0) or several, to compile for."""


def check(batch_size: int, examples: int, key: Key[Array, "*M"]):
    """Checks what training batches are made of.

    Raises:
      ValueError: a batch that is larger than the set, or a key that `jax.random.key` did not make.
    """
    if not 1 <= batch_size <= examples:
        raise ValueError(f"a batch must be of 1 to {examples} training images, not of {batch_size}")
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if not typed or key.ndim > 1:
        raise ValueError("key must be one of jax.random.key, or a vector of them")
