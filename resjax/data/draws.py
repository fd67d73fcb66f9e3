"""Sets that are drawn, not collected: a batch is a pure function of (key, step), and every step has new examples."""

import dataclasses
from collections.abc import Callable, Iterator

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, Shaped

from resjax.data.augment import Augmentation, augment, normalize
from resjax.data.batches import check
from resjax.data.in_memory import Split
from resjax.random_streams import stream
from resjax.system.sharding import Layout

# key -> one input (H W C of an image) and its target. What it draws from, as a text, is an argument of the training
# program and no constant in it where the draw is a `jax.tree_util.Partial(function, arrays…)`.
Draw = Callable[[PRNGKeyArray], tuple[Shaped[Array, "..."], Shaped[Array, "..."]]]


def drawn(draw: Draw, key: PRNGKeyArray, examples: int) -> tuple[Shaped[Array, "B ..."], Shaped[Array, "B ..."]]:
    """So many inputs (B …) and their targets (B …)."""
    return jax.vmap(draw)(jax.random.split(key, examples))


def partial(draw: Draw) -> Partial:
    """The draw as a pytree of the arrays that it carries."""
    return draw if isinstance(draw, Partial) else Partial(draw)


@dataclasses.dataclass(frozen=True)
class Generated:
    """A training split that is drawn anew for every step."""

    draw: Draw
    sample: Split  # fixed: what evaluation looks at

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return self.sample.shape

    @property
    def example(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """One input and its target, those of the fixed sample like those that are drawn."""
        return self.sample.example

    def first(self, examples: int) -> Split:
        """A finite set: the first so many examples of the fixed sample."""
        return self.sample.first(examples)

    def on(self, layout: Layout) -> "Generated":
        """The same on every device of a layout."""
        return Generated(layout.put(partial(self.draw)), self.sample.on(layout))

    def all(self, size: int) -> Iterator[tuple[Shaped[Array, "B ..."], Shaped[Array, "B ..."]]]:
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
        return Fresh(self.sample.mean, self.sample.std, partial(self.draw), batch_size, tuple(augmentations))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fresh:
    """What a training step gets of a generated set: how to draw its examples."""

    mean: Float[Array, " C"] | None
    std: Float[Array, " C"] | None
    draw: Partial
    batch_size: int = dataclasses.field(metadata={"static": True})
    augmentations: tuple[Augmentation, ...] = dataclasses.field(metadata={"static": True})

    def batch(self, key: PRNGKeyArray, step: Int[Array, ""]) -> tuple[Shaped[Array, "B ..."], Shaped[Array, "B ..."]]:
        """Inputs (B …), normalised and augmented at random, and targets (B …): a function of the run's key and step."""
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
