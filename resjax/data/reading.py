"""What a worker process does with one example of a streamed set. No JAX here."""

import dataclasses
import multiprocessing
import os
import threading
from typing import Any

import numpy as np

from resjax.data.crop import Augmentation, cropped
from resjax.data.validate import Unusable, one_line


@dataclasses.dataclass(frozen=True)
class Read:
    """Reads, augments and crops an example. What goes wrong is data, too: an exception in a worker hangs Grain."""

    source: Any  # random access to dicts of image and label
    shape: tuple[int, int, int]  # H W C
    augmentations: tuple[Augmentation, ...] = ()

    def __call__(self, index: int, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """Image, label and fault, which is empty where there is none."""
        try:
            example = self.source[index]
            return cropped(example, rng, shape=self.shape, augmentations=self.augmentations) | {"fault": np.asarray("")}
        except Exception as error:  # of the source, of Pillow, or of an augmentation of the user's own
            what = one_line(error) if isinstance(error, Unusable) else f"example {index}: {one_line(error)}"
            return {"image": np.zeros(self.shape, np.uint8), "label": 0, "fault": np.asarray(what)}


def end_with_parent(index: int, count: int) -> None:
    """Makes this process, one of so many readers, end with the one that it reads for, however that went.

    Grain's readers wait to be told. Those of a process that was killed would stay, and hold its pipes open.
    """
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_wait_and_end, args=(parent,), daemon=True).start()


def _wait_and_end(parent: Any) -> None:
    parent.join()
    os._exit(1)


def sound(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A batch in which nothing went wrong.

    Raises:
      Unusable: something did; the message is that of the first such example.
    """
    faults = [str(fault) for fault in batch["fault"] if fault]
    if faults:
        raise Unusable(faults[0])
    return batch
