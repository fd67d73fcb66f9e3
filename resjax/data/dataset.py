"""A data set: what a network learns from, and what it is tested on."""

import dataclasses

import jax
import jax.numpy as jnp

from resjax.data.batches import Examples
from resjax.data.draws import Generated
from resjax.data.in_memory import Split
from resjax.random_streams import stream
from resjax.system.sharding import Layout


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A training and a held-out split, on the device (`Split`), drawn there (`Generated`) or streamed (`Stream`)."""

    train: Examples
    test: Examples
    classes: int
    name: str = "this set"  # in messages

    @property
    def streamed(self) -> bool:
        """Whether the images are read from disk, batch by batch; they take other augmentations."""
        return not isinstance(self.train, Split | Generated)

    def inputs(self, count: int) -> jax.ShapeDtypeStruct:
        """So many inputs, as a network gets them: B H W C float32 for images, B T int32 for tokens."""
        one, _ = self.train.example
        return jax.ShapeDtypeStruct((count, *one.shape), one.dtype)

    def targets(self, count: int) -> jax.ShapeDtypeStruct:
        """Their targets: labels B int32, or B T where every token has one; B D float32 in a regression."""
        _, one = self.train.example
        return jax.ShapeDtypeStruct((count, *one.shape), one.dtype)

    def on(self, layout: Layout) -> "Dataset":
        """The same on the devices of a layout."""
        return dataclasses.replace(self, train=self.train.on(layout), test=self.test.on(layout))

    def first(self, examples: int) -> "Dataset":
        """The same with only the first so many training examples, normalised with the statistics of all.

        Raises:
          ValueError: there are not so many.
        """
        if not 1 <= examples <= len(self.train):
            raise ValueError(f"{self.name} has {len(self.train)} training images")
        return dataclasses.replace(self, train=self.train.first(examples))

    def with_random_labels(self, share: float) -> "Dataset":
        """Every training label, with probability `share`, drawn from all classes (Zhang et al. 2017, arXiv 1611.03530).

        One draw for all: an image has the same label whenever it is drawn. The label can be the true one. Of sequences
        each token's label is drawn by itself.

        Raises:
          ValueError: the set is streamed or generated, its targets are no labels, or the share is no probability.
        """
        if not isinstance(self.train, Split):
            way = "streamed" if self.streamed else "drawn anew for every step"
            raise ValueError(f"{self.name} is {way}; use a set that fits on the device")
        if not 0 <= share <= 1:
            raise ValueError(f"the share of random labels must be from 0 to 1, not {share}")
        key = jax.random.key(0)
        labels = self.train.labels  # N, or N T
        if not jnp.issubdtype(labels.dtype, jnp.integer):
            raise ValueError(f"{self.name} has targets of {labels.dtype}, and random labels are classes")
        chosen = jax.random.uniform(stream(key, "labels_chosen"), labels.shape, jnp.float32) < share
        drawn = jax.random.randint(stream(key, "labels_drawn"), labels.shape, 0, self.classes, labels.dtype)
        return dataclasses.replace(self, train=dataclasses.replace(self.train, labels=jnp.where(chosen, drawn, labels)))
