"""Data sets of arrays that lie ready: those of each split, or what a function of one's own gives."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from resjax.data import splits, validate
from resjax.data.batches import Examples
from resjax.data.dataset import Dataset
from resjax.data.from_arrays import arrays, pictures
from resjax.data.in_memory import Split
from resjax.data.splits import Range
from resjax.data.validate import naming

Pair = tuple[Any, Any]  # images and labels


def given(found: Any, name: str, train_split: str = "", test_split: str = "") -> Dataset:
    """The data set that somebody's function gave, checked.

    Args:
      found: (images, labels), ((images, labels), (test images, test labels)), or a `Dataset` of images H W C or of
        tokens T; images and labels as in `npz`.
      name: in messages.
      train_split: what trains, see `splits.choose`; of a `Dataset` nothing can be chosen.
      test_split: likewise.

    Raises:
      ValueError: something else, or examples or splits that cannot be.
    """
    if isinstance(found, Dataset):
        with naming(name):
            if train_split or test_split:
                raise ValueError("is a Dataset, whose splits are made: leave out train_split and test_split")
            _check(found)
        return found
    if not isinstance(found, tuple | list) or len(found) != 2:
        form = "(images, labels), ((images, labels), (test images, test labels)) or a Dataset"
        raise ValueError(f"{name}: must give {form}, not {type(found).__name__}")
    several = all(isinstance(part, tuple | list) and len(part) == 2 and np.ndim(part[0]) > 1 for part in found)
    pairs = {"train": found[0], "test": found[1]} if several else {"train": (found[0], found[1])}
    return of_splits(name, pairs, train_split, test_split)


def of_splits(name: str, pairs: Mapping[str, Pair], train_split: str = "", test_split: str = "") -> Dataset:
    """The data set of some splits' images and labels (see `npz`), in memory.

    Raises:
      ValueError: examples or splits that cannot be.
    """
    with naming(name):
        images = {split: pictures(x) for split, (x, _) in pairs.items()}
        for split, x in images.items():
            if x.ndim < 2:
                raise ValueError(f"{split} images must be N H W C or N …: their shape is {x.shape}")
        labels = {split: validate.targets(y, len(images[split]), f"{split} ") for split, (_, y) in pairs.items()}
        lengths = {split: len(x) for split, x in images.items()}

        def labelled(split: str) -> bool:
            return validate.floating(labels[split]) or bool(np.any(labels[split] != -1))

        def joined(parts: list[Range]) -> Pair:
            x = np.concatenate([images[part.split][part.first : part.end] for part in parts])
            return x, np.concatenate([labels[part.split][part.first : part.end] for part in parts])

        choice = splits.choose(lengths, labelled, train_split, test_split)
        if not choice.test:
            splits.tell_held_out(name, choice)
        test = joined(choice.test) if choice.test else None
        found = [labels[part.split] for part in (*choice.train, *choice.test)]
        if all(not validate.floating(own) and 0 not in own for own in found):
            raise ValueError("no label is 0, but labels must be from 0 to K - 1")
        return dataclasses.replace(arrays(*joined(choice.train), test), name=name)


def _check(found: Dataset) -> None:
    """Refuses a data set of which the first examples are not what they must be."""
    for which in ("train", "test"):
        split = getattr(found, which)
        if not isinstance(split, Examples) or not len(split):
            raise ValueError(f"its {which} must be a split with examples, as Split or Stream, not {split!r:.80}")
        one, target = split.example
        tokens = one.dtype == np.int32
        if len(one.shape) != (1 if tokens else 3) or split.example != found.train.example:
            given = f"{one.shape} {one.dtype} and targets {target.shape} {target.dtype}"
            form = "H W C, or T of tokens, and all alike"
            raise ValueError(f"its {which} has examples of shape {given}, but they must be {form}")
        inputs, targets = next(split.all(len(split) if isinstance(split, Split) else 1))
        if tokens and target.shape == one.shape:
            validate.tokens(inputs, found.classes, f"{which} inputs")
            validate.tokens(targets, found.classes, f"{which} targets")
            continue
        if not tokens:
            validate.images(inputs, f"normalised {which} ")
        labels = validate.targets(targets, len(targets), f"{which} ")
        if not validate.floating(labels):
            validate.in_range(labels, found.classes, f"{which} labels")
        elif labels.shape[1] != found.classes:
            raise ValueError(f"its {which} has targets of {labels.shape[1]} numbers, but {found.classes} classes")
