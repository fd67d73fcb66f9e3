"""Sets too large for the device: read, decoded and changed by Grain's worker processes, batch by batch."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from resjax import cuts, pixels
from resjax.errors import UserError
from resjax.mesh import Layout

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # the usual ones of ImageNet, in pixel units


@dataclasses.dataclass(frozen=True)
class Stream:
    """One split of a set that is read from disk."""

    source: Any  # random access to dicts of image (any size, uint8) and label
    shape: tuple[int, int, int]  # H W C, to which the images are cut
    workers: int  # processes that prepare training batches; 0: this one does
    layout: Layout | None = None

    def __len__(self):
        return len(self.source)

    def first(self, examples: int) -> "Stream":
        """The first so many examples."""
        return dataclasses.replace(self, source=grain.MapDataset.source(self.source)[:examples])

    def on(self, layout: Layout) -> "Stream":
        """The same, split over the devices of a layout: every process reads its own part of each batch."""
        return dataclasses.replace(self, layout=layout)

    def all(self, size: int) -> Iterator[tuple[jax.Array, jax.Array]]:
        """Every example once, cut from the middle, in batches of `size`; the last is filled up from the start."""
        examples = grain.MapDataset.source(self.source).repeat()[: -(-len(self) // size) * size]
        cut = examples.map(functools.partial(cuts.cut_out, shape=self.shape))
        for batch in self._own(cut, size).to_iter_dataset():
            yield self._given(batch).batch(None, None)

    def _own(self, examples: grain.MapDataset, size: int) -> grain.MapDataset:
        """Batches of `size`, or this process's part of each."""
        processes = jax.process_count() if self.layout else 1
        return examples.batch(size // processes)[jax.process_index() % processes :: processes]

    def check(self, changes: tuple[str, ...]):
        """Raises UserError: an unknown change of the training images."""
        for change in changes:
            cuts.build(change)

    def batches(self, batch_size: int, changes: tuple[str, ...], seed: int, together: int = 0) -> "Batches":
        """The training batches, with these changes; several networks get the same."""
        built = tuple(map(cuts.build, changes))
        examples = grain.MapDataset.source(self.source).seed(seed).shuffle().repeat()
        cut = examples.random_map(functools.partial(cuts.cut_out, shape=self.shape, changes=built))
        flags.FLAGS.mark_as_parsed()  # Grain's workers ask for absl's global flags, which resjax does not use
        workers = grain.MultiprocessingOptions(num_workers=self.workers)
        batches = self._own(cut, batch_size).to_iter_dataset().mp_prefetch(workers)
        return Batches(iter(batches), self._given, self.workers)

    def abstract(self, batch_size: int, changes: tuple[str, ...], together: int = 0) -> "Given":
        """The shape of what `batches` give, to compile for."""
        image, label = np.zeros((batch_size, *self.shape), np.uint8), np.zeros(batch_size, np.int32)
        return jax.eval_shape(lambda: self._given({"image": image, "label": label}))

    def _given(self, batch) -> "Given":
        mean, std = (jnp.asarray(np.resize(values, self.shape[-1]), jnp.float32) for values in (MEAN, STD))
        images, labels = batch["image"], batch["label"].astype(np.int32)
        if self.layout:
            return Given(*self.layout.share((images, labels)), *self.layout.put((mean, std)))
        return Given(jnp.asarray(images), jnp.asarray(labels), mean, std)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Given:
    """What a training step needs of a streamed set: its batch."""

    images: jax.Array  # B H W C uint8
    labels: jax.Array  # B
    mean: jax.Array  # C
    std: jax.Array  # C

    def batch(self, key, step):
        """Normalised images (B H W C) and labels (B)."""
        return pixels.normalize(self.images, self.mean, self.std), self.labels

    @property
    def several(self) -> None:
        """The axes of what several networks get, for `vmap`: they share the batch."""
        return None


class Batches:
    """The training batches, one after the other; the place in the stream is kept in the checkpoint."""

    def __init__(self, batches, given, workers: int):
        self._batches, self._given, self._workers = batches, given, workers

    def at(self, step: int) -> Given:
        """The next batch: steps must come one after the other."""
        return self._given(next(self._batches))

    def state(self) -> dict:
        """The place in the stream."""
        return {"workers": self._workers, "grain": self._batches.get_state()}

    def restore(self, state: dict):
        """Goes on where `state` was taken.

        Raises:
          UserError: it was taken with another number of workers, of each of which it holds the place.
        """
        if state["workers"] != self._workers:
            raise UserError(f"--workers={self._workers}: the checkpoint is of a run with {state['workers']}")
        self._batches.set_state(state["grain"])
