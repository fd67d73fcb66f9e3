"""Sets that are held on the device, whole and as they are: a batch is a pure function of (key, step)."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, Shaped

from resjax.data.augment import Augmentation, augment, normalize
from resjax.data.batches import check
from resjax.random_streams import stream
from resjax.system.sharding import Layout


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Split:
    """Inputs and targets of one split, with the training images' statistics."""

    images: Shaped[Array, "N ..."]  # N H W C for images, uint8 or floating point; N T for tokens, integers
    labels: Shaped[Array, "N ..."]  # N; N T, one for each token; N D floating point in a regression
    mean: Float[Array, " C"] | None  # in pixel units; None: inputs are taken as they are
    std: Float[Array, " C"] | None  # in pixel units

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input: H, W, C of an image, T of tokens."""
        return self.images.shape[1:]

    @property
    def example(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """One input and its target, as `take` gives them."""
        return jax.eval_shape(lambda split: jax.tree.map(lambda batch: batch[0], split.take(jnp.arange(1))), self)

    def first(self, examples: int) -> "Split":
        """The first so many examples; the statistics stay those of all."""
        return dataclasses.replace(self, images=self.images[:examples], labels=self.labels[:examples])

    def on(self, layout: Layout) -> "Split":
        """The same on every device of a layout."""
        return layout.put(self)

    def take(self, index: Int[Array, " B"]) -> tuple[Shaped[Array, "B ..."], Shaped[Array, "B ..."]]:
        """Inputs (B …), images normalised and tokens int32, and targets (B …) at the given places (B)."""
        return normalize(self.images[index], self.mean, self.std), self.labels[index]

    def all(self, size: int) -> Iterator[tuple[Shaped[Array, "B ..."], Shaped[Array, "B ..."]]]:
        """Every example once, in batches of `size`; the last is filled up from the start."""
        for first in range(0, len(self), size):
            yield self.take(jnp.arange(first, first + size) % len(self))

    def batches(
        self, batch_size: int, augmentations: tuple[Augmentation, ...], key: Key[Array, "*M"]
    ) -> "ShuffledBatches":
        """The training batches of one network, or of M networks, each in an order of its own.

        Args:
          batch_size: B. An epoch is N // B steps.
          augmentations: functions (key, images B H W C) -> images, applied one after the other.
          key: of `jax.random.key`, or a vector of M keys.

        Raises:
          ValueError: a batch that is larger than the set, or a key of another kind.
        """
        check(batch_size, len(self), key)
        return ShuffledBatches(self, batch_size, tuple(augmentations), key)

    def abstract(self, batch_size: int, augmentations: tuple[Augmentation, ...], num_seeds: int = 0) -> "Shuffled":
        """The shape of what `batches` give a step, for one network (0) or several, to compile for."""
        key = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_seeds) if num_seeds else jax.random.key(0))
        order = jax.eval_shape(lambda key: orders(order_key(key), 0, len(self)), key)
        return Shuffled(self, order, batch_size, tuple(augmentations))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shuffled:
    """What a training step gets of a set in memory: all of it, and the order of this epoch."""

    split: Split
    order: Int[Array, "*M N"]  # of one network, or of M
    batch_size: int = dataclasses.field(metadata={"static": True})
    augmentations: tuple[Augmentation, ...] = dataclasses.field(default=(), metadata={"static": True})

    def batch(self, key: PRNGKeyArray, step: Int[Array, ""]) -> tuple[Shaped[Array, "B ..."], Shaped[Array, "B ..."]]:
        """Inputs (B …), augmented at random, and targets (B …)."""
        place = step % (len(self.split) // self.batch_size) * self.batch_size
        images, labels = self.split.take(jax.lax.dynamic_slice_in_dim(self.order, place, self.batch_size))
        return augment(self.augmentations, jax.random.fold_in(key, step), images), labels

    @property
    def several(self) -> "Shuffled":
        """The axes of what several networks get, each in an order of its own, for `vmap`."""
        return dataclasses.replace(self, split=None, order=0)  # type: ignore[arg-type]  # axes in the arrays' places


class ShuffledBatches:
    """The training batches, step by step (see `batches.Batches`)."""

    def __init__(self, split: Split, batch_size: int, augmentations: tuple[Augmentation, ...], key: Key[Array, "*M"]):
        self._shuffled = functools.partial(Shuffled, split, batch_size=batch_size, augmentations=augmentations)
        self._key = order_key(key)  # an array of its own: a training step may donate the run's key
        self._examples = len(split)
        self._steps = len(split) // batch_size
        self._epoch = -1
        self._order: Int[Array, "*M N"] | None = None

    def at(self, step: int) -> Shuffled:
        """What that step gets. The order is drawn once an epoch: drawing it in every step costs more than a step."""
        epoch = step // self._steps
        if self._order is None or self._epoch != epoch:
            self._epoch = epoch
            self._order = orders(self._key, epoch, self._examples)
        return self._shuffled(order=self._order)


@jax.jit
def order_key(key: Key[Array, "*M"]) -> Key[Array, "*M"]:
    """What the orders of a run's key are drawn from; of M keys M."""
    own = functools.partial(stream, name="order")
    return jax.vmap(own)(key) if key.ndim else own(key)


@functools.partial(jax.jit, static_argnames=("examples",))
def orders(key: Key[Array, "*M"], epoch: Int[Array, ""] | int, examples: int) -> Int[Array, "*M {examples}"]:
    """The order of the training examples in one epoch, N, from an `order_key`; from M of them M N."""

    def order(key):
        return jax.random.permutation(jax.random.fold_in(key, epoch), examples)

    return jax.vmap(order)(key) if key.ndim else order(key)
