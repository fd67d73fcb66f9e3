"""Sets that are drawn, not collected: a batch is a pure function of (key, step), and every step has new examples."""

import dataclasses
from collections.abc import Callable, Iterator

import jax
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from resjax.data.augment import Augmentation, augment, normalize
from resjax.data.batches import check
from resjax.data.in_memory import Split
from resjax.random_streams import stream
from resjax.system.sharding import Layout

Draw = Callable[[PRNGKeyArray], tuple[Float[Array, "..."], Int[Array, ""]]]  # key -> one example (H W C) and its label


def drawn(draw: Draw, key: PRNGKeyArray, examples: int) -> tuple[Float[Array, "B ..."], Int[Array, " B"]]:
    """So many examples (B …) and their labels (B)."""
    return jax.vmap(draw)(jax.random.split(key, examples))


@dataclasses.dataclass(frozen=True)
class Generated:
    """A training split that is drawn anew for every step."""

    draw: Draw
    sample: Split  # fixed: what evaluation looks at

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return self.sample.shape

    def first(self, examples: int) -> Split:
        """A finite set: the first so many examples of the fixed sample."""
        return self.sample.first(examples)

    def on(self, layout: Layout) -> "Generated":
        """The same on every device of a layout."""
        return dataclasses.replace(self, sample=self.sample.on(layout))

    def all(self, size: int) -> Iterator[tuple[Float[Array, "B ..."], Int[Array, " B"]]]:
        """The fixed sample once, in batches of `size`; the last is filled up from the start."""
        return self.sample.all(size)

    def batches(
        self, batch_size: int, augmentations: tuple[Augmentation, ...], key: Key[Array, "*M"]
    ) -> "FreshBatches":
        """The training batches, for one network or, with a vector of M keys, for M: each draws its own.

        Raises:
          ValueError: a batch that is larger than the fixed sample, or a key of another kind.
        """
        check(batch_size, len(self), key)
        return FreshBatches(self.abstract(batch_size, augmentations))

    def abstract(self, batch_size: int, augmentations: tuple[Augmentation, ...], num_seeds: int = 0) -> "Fresh":
        """What `batches` give a step: it is one for every step, and for any number of networks."""
        return Fresh(self.sample.mean, self.sample.std, self.draw, batch_size, tuple(augmentations))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fresh:
    """What a training step gets of a generated set: how to draw its examples."""

    mean: Float[Array, " C"]
    std: Float[Array, " C"]
    draw: Draw = dataclasses.field(metadata={"static": True})
    batch_size: int = dataclasses.field(metadata={"static": True})
    augmentations: tuple[Augmentation, ...] = dataclasses.field(metadata={"static": True})

    def batch(self, key: PRNGKeyArray, step: Int[Array, ""]) -> tuple[Float[Array, "B ..."], Int[Array, " B"]]:
        """Normalised examples (B …), augmented at random, and labels (B): a function of the run's key and the step."""
        own = jax.random.fold_in(key, step)
        images, labels = drawn(self.draw, stream(own, "examples"), self.batch_size)
        return augment(self.augmentations, own, normalize(images, self.mean, self.std)), labels

    @property
    def several(self) -> None:
        """The axes of what several networks get, for `vmap`: they share how to draw, and draw with their own keys."""
        return None


@dataclasses.dataclass(frozen=True)
class FreshBatches:
    """The training batches, step by step (see `batches.Batches`)."""

    fresh: Fresh

    def at(self, step: int) -> Fresh:
        """What that step gets."""
        return self.fresh
