"""Sets too large for the device: read, decoded and augmented by Grain's worker processes, batch by batch."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from resjax.data.augment import normalize
from resjax.data.batches import check
from resjax.data.crop import Augmentation
from resjax.data.reading import Read, end_with_parent, sound
from resjax.system.sharding import Layout

MEAN = (123.675, 116.28, 103.53)  # the usual ones of ImageNet, in pixel units
STD = (58.395, 57.12, 57.375)


@dataclasses.dataclass(frozen=True)
class Stream:
    """One split of a set that is read from disk."""

    source: Any  # random access to dicts of image (of any size) and label
    shape: tuple[int, int, int]  # H W C, to which the images are cropped
    workers: int = 0  # processes that prepare training batches; 0: this one does
    layout: Layout | None = None
    mean: tuple[float, ...] = MEAN  # of each channel, in the units of the source; repeated if they are too few
    std: tuple[float, ...] = STD
    dtype: str = "uint8"  # of the cropped images: float32 where the source's are not uint8

    def __len__(self) -> int:
        return len(self.source)

    @property
    def example(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """One image, normalised, and its label."""
        return jax.ShapeDtypeStruct(self.shape, jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)

    def first(self, examples: int) -> "Stream":
        """The first so many examples."""
        return dataclasses.replace(self, source=grain.MapDataset.source(self.source)[:examples])

    def on(self, layout: Layout) -> "Stream":
        """The same, split over the devices of a layout: every process reads its own part of each batch."""
        return dataclasses.replace(self, layout=layout)

    def all(self, size: int) -> Iterator[tuple[jax.Array, jax.Array]]:
        """Every example once, cropped from the middle, in batches of `size`; the last is filled up from the start."""
        examples = grain.MapDataset.range(len(self)).repeat()[: -(-len(self) // size) * size]
        images = examples.map(Read(self.source, self.shape))
        for batch in self._own(images, size).to_iter_dataset():
            yield self._streamed(batch).batch(None, None)

    def batches(self, batch_size: int, augmentations: tuple[Augmentation, ...], key: jax.Array) -> "StreamedBatches":
        """The training batches; several networks get the same.

        With worker processes absl's flags must have been parsed, or `absl.flags.FLAGS.mark_as_parsed()` called: Grain
        looks at its own.

        Args:
          batch_size: B.
          augmentations: functions (rng, image, size) -> image that can be pickled, applied one after the other.
          key: of `jax.random.key`, or a vector of M keys, of which the first counts. Grain's seed is the last word of
            its data, hence the seed of `jax.random.key(seed)`.

        Raises:
          ValueError: a batch that is larger than the set, or a key of another kind.
        """
        check(batch_size, len(self), key)
        seed = int(jax.random.key_data(key).ravel()[1])
        examples = grain.MapDataset.range(len(self)).seed(seed).shuffle().repeat()
        images = examples.random_map(Read(self.source, self.shape, tuple(augmentations)))
        return StreamedBatches(self._own(images, batch_size), self._streamed, self.workers)

    def abstract(self, batch_size: int, augmentations: tuple[Augmentation, ...], num_seeds: int = 0) -> "StreamedBatch":
        """The shape of what `batches` give a step, to compile for; it is one for any number of networks."""
        images = np.zeros((batch_size, *self.shape), self.dtype)
        labels = np.zeros(batch_size, np.int32)
        return jax.eval_shape(lambda: self._streamed({"image": images, "label": labels, "fault": np.zeros(0)}))

    def _own(self, examples: grain.MapDataset, size: int) -> grain.MapDataset:
        """Batches of `size`, or this process's part of each."""
        processes = jax.process_count() if self.layout else 1
        return examples.batch(size // processes)[jax.process_index() % processes :: processes]

    def _streamed(self, batch: dict[str, np.ndarray]) -> "StreamedBatch":
        mean, std = (jnp.asarray(np.resize(values, self.shape[-1]), jnp.float32) for values in (self.mean, self.std))
        images = sound(batch)["image"]
        labels = batch["label"].astype(np.int32)
        if self.layout:
            return StreamedBatch(*self.layout.share((images, labels)), *self.layout.put((mean, std)))
        return StreamedBatch(jnp.asarray(images), jnp.asarray(labels), mean, std)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StreamedBatch:
    """What a training step gets of a streamed set: its batch."""

    images: jax.Array  # B H W C uint8 or float32
    labels: jax.Array  # B int32
    mean: jax.Array  # C
    std: jax.Array  # C

    def batch(self, key: jax.Array | None, step: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Normalised images (B H W C) and labels (B); what is random has been drawn before."""
        return normalize(self.images, self.mean, self.std), self.labels

    @property
    def several(self) -> None:
        """The axes of what several networks get, for `vmap`: they share the batch."""
        return None


class StreamedBatches:
    """The training batches (see `batches.Batches`), read ahead; any number of workers gives the same."""

    def __init__(self, batches: grain.MapDataset, streamed: Callable[[dict], StreamedBatch], workers: int):
        self._batches = batches
        self._streamed = streamed
        self._workers = grain.MultiprocessingOptions(num_workers=workers)
        self._ahead: grain.DatasetIterator | None = None

    def at(self, step: int) -> StreamedBatch:
        """The next batch, or the first: steps must come one after the other, from any one on."""
        if self._ahead is None:
            examples = self._batches[step:].to_iter_dataset()
            self._ahead = iter(examples.mp_prefetch(self._workers, worker_init_fn=end_with_parent))
        return self._streamed(next(self._ahead))
