"""Sets that are held on the device, whole and as uint8: a batch is a pure function of (key, step)."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from resjax import pixels
from resjax.mesh import Layout

ORDER = 1  # what the run's key is folded with for the order of the examples


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Split:
    """Images and labels of one split, with the training images' statistics."""

    images: jax.Array  # N H W C uint8
    labels: jax.Array  # N int32
    mean: jax.Array  # C, in pixel units
    std: jax.Array  # C, in pixel units

    def __len__(self):
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """H, W, C."""
        return self.images.shape[1:]

    def first(self, examples: int) -> "Split":
        """The first so many examples; the statistics stay those of all."""
        return dataclasses.replace(self, images=self.images[:examples], labels=self.labels[:examples])

    def on(self, layout: Layout) -> "Split":
        """The same on every device of a layout."""
        return layout.put(self)

    def take(self, index):
        """Normalised images (B H W C) and labels (B) at the given places (B)."""
        return pixels.normalize(self.images[index], self.mean, self.std), self.labels[index]

    def all(self, size: int) -> Iterator[tuple[jax.Array, jax.Array]]:
        """Every example once, in batches of `size`; the last is filled up from the start."""
        for first in range(0, len(self), size):
            yield self.take(jnp.arange(first, first + size) % len(self))

    def check(self, changes: tuple[str, ...]):
        """Raises UserError: an unknown change of the training images."""
        for change in changes:
            pixels.build(change)

    def batches(self, batch_size: int, changes: tuple[str, ...], seed: int, together: int = 0) -> "Batches":
        """The training batches, with these changes, of one seed or of so many from it on."""
        return Batches(self, batch_size, changes, seed, together)

    def abstract(self, batch_size: int, changes: tuple[str, ...], together: int = 0) -> "Shuffled":
        """The shape of what `batches` give, to compile for."""
        order = jax.eval_shape(lambda: orders(0, 0, together, len(self)))
        return Shuffled(self, order, batch_size, changes)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shuffled:
    """What a training step needs of a resident set."""

    split: Split
    order: jax.Array  # N, of this epoch
    batch_size: int = dataclasses.field(metadata={"static": True})
    changes: tuple[str, ...] = dataclasses.field(default=("none",), metadata={"static": True})

    def batch(self, key, step):
        """Images (B H W C), changed at random, and labels (B)."""
        place = step % (len(self.split) // self.batch_size) * self.batch_size
        images, labels = self.split.take(jax.lax.dynamic_slice_in_dim(self.order, place, self.batch_size))
        return pixels.change(self.changes, jax.random.fold_in(key, step), images), labels

    @property
    def several(self) -> "Shuffled":
        """The axes of what several networks get, each in an order of its own, for `vmap`."""
        return dataclasses.replace(self, split=None, order=0)


class Batches:
    """The training batches, step by step."""

    def __init__(self, split: Split, batch_size: int, changes: tuple[str, ...], seed: int, together: int):
        self._shuffled = functools.partial(Shuffled, split, batch_size=batch_size, changes=changes)
        self._orders = functools.partial(orders, seed=seed, together=together, examples=len(split))
        self._epoch, self._order, self._steps = -1, None, len(split) // batch_size

    def at(self, step: int) -> Shuffled:
        """What that step needs. The order is drawn once an epoch: drawing it in every step costs more than a step."""
        if self._epoch != step // self._steps:
            self._epoch = step // self._steps
            self._order = self._orders(self._epoch)
        return self._shuffled(order=self._order)

    def state(self) -> dict:
        """What a checkpoint must keep: nothing, a batch follows from its step."""
        return {}

    def restore(self, state: dict):
        """Goes on where `state` was taken."""


@functools.partial(jax.jit, static_argnames=("together", "examples"))
def orders(epoch, seed, together: int, examples: int):
    """The order of the training examples in one epoch, N; for several networks M N."""

    def order(seed):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), ORDER), epoch)
        return jax.random.permutation(key, examples)

    return jax.vmap(order)(seed + jnp.arange(together)) if together else order(seed)
