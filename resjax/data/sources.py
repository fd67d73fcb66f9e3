"""From the splits of a set, each a random-access source of examples, to a data set: in memory, or streamed."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from resjax.data import splits
from resjax.data.dataset import Dataset
from resjax.data.from_arrays import arrays, statistics
from resjax.data.pictures import Form
from resjax.data.splits import Choice, Range
from resjax.data.validate import Checked, Unusable

IN_MEMORY_BYTES = 4 * 2**30  # larger sets, tests and all, and those whose images differ in size, are streamed
SAMPLE = 256  # training images that give the statistics of a set that is streamed and not uint8


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked of a set: its splits (see `splits.choose`), and how it is streamed where it must be."""

    train: str = ""
    test: str = ""
    image_size: int = 224  # sides of the images, in pixels
    workers: int = 0  # processes that read


def assembled(name: str, sources: Mapping[str, Any], form: Form, classes: int, wanted: Wanted) -> Dataset:
    """The data set of these splits; what is read of them is checked.

    Args:
      name: in messages.
      sources: the splits, random access to dicts of image (H W C) and label.
      form: of the images.
      classes: K.
      wanted: splits, and how they are streamed.

    Raises:
      ValueError: splits that cannot be chosen so, or an example that is not what the set promises.
    """
    checked = {
        split: Checked(source, f"{name}, split {split}", form.shape[-1], classes) for split, source in sources.items()
    }
    lengths = {split: len(source) for split, source in sources.items()}
    with_labels = {split: Unlabelled(source) for split, source in checked.items()}
    try:
        choice = splits.choose(lengths, lambda split: not with_labels[split].first, wanted.train, wanted.test)
        if not choice.test:
            splits.tell_held_out(name, choice)
    except Unusable:  # which says of which set it is
        raise
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    examples = sum(part.end - part.first for part in (*choice.train, *choice.test))
    size = math.prod(side or 0 for side in form.shape) * examples * np.dtype(form.dtype).itemsize
    if None in form.shape or size > IN_MEMORY_BYTES:
        return _streamed(name, checked, form, classes, choice, wanted)
    train = _read(checked, choice.train)
    test = _read(checked, choice.test) if choice.test else None
    return dataclasses.replace(arrays(*train, test, classes), name=name)


@dataclasses.dataclass(frozen=True)
class Unlabelled:
    """Whether a split is one of those that are published without labels."""

    source: Checked

    @property
    def first(self) -> bool:
        """Whether its first example has none, but -1."""
        _, label = self.source.read(0)
        return bool(np.all(label == -1))


def _read(sources: Mapping[str, Checked], parts: list[Range]) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels of some ranges."""
    examples = [sources[part.split][index] for part in parts for index in range(part.first, part.end)]
    labels = np.asarray([example["label"] for example in examples], np.int32)
    return np.stack([example["image"] for example in examples]), labels


def _streamed(
    name: str, sources: Mapping[str, Checked], form: Form, classes: int, choice: Choice, wanted: Wanted
) -> Dataset:
    import grain

    from resjax.data.streaming import MEAN, STD, Stream  # a second that sets in memory do not need

    def joined(parts: list[Range]) -> Any:
        if len(parts) == 1 and parts[0].end - parts[0].first == len(sources[parts[0].split]):
            return sources[parts[0].split]
        sliced = [grain.MapDataset.source(sources[part.split])[part.first : part.end] for part in parts]
        return grain.MapDataset.concatenate(sliced)

    train = joined(choice.train)
    if choice.test:
        test = joined(choice.test)
    else:
        shuffled = grain.MapDataset.source(train).shuffle(seed=0)
        count = splits.held_out(len(train))
        test = shuffled[:count]
        train = shuffled[count:]
    test[0]  # what is wrong with the very first is said at once
    own = {"dtype": "uint8", "mean": MEAN, "std": STD}
    if form.dtype != "uint8":
        mean, std = _sampled(train)
        own = {"dtype": "float32", "mean": tuple(mean.tolist()), "std": tuple(std.tolist())}
    size = (wanted.image_size, wanted.image_size, form.shape[-1])
    train, test = (Stream(source, size, wanted.workers, **own) for source in (train, test))  # type: ignore[arg-type]
    return Dataset(train, test, classes, name)


def _sampled(source: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C each) of examples spread evenly over a source."""
    places = np.unique(np.linspace(0, len(source) - 1, SAMPLE).astype(int))
    pixels = [source[int(place)]["image"].astype(np.float32) for place in places]
    return statistics(np.concatenate([image.reshape(-1, image.shape[-1]) for image in pixels]))
