"""Which examples train and which test: by what the splits are called, or in the notation of TensorFlow Datasets."""

import itertools
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

HELD_OUT = 6  # one in so many examples, where there is nothing to test on
TEST = ("test", "validation", "val", "valid")  # the first of them that has labels tests

NAMES = ("train", *TEST)  # what folders, and arrays, of splits are called


class Range(NamedTuple):
    """Some examples of a split."""

    split: str
    first: int
    end: int  # the one behind the last


class Choice(NamedTuple):
    """What trains and what tests; with no test, a sixth of what trains is to be held out."""

    train: list[Range]
    test: list[Range]


def choose(lengths: Mapping[str, int], labelled: Callable[[str], bool], train: str = "", test: str = "") -> Choice:
    """The examples that train and those that test.

    Args:
      lengths: the number of examples of each split.
      labelled: whether a split of this name has labels; many published test splits have none, but -1.
      train: as `train`, `train[:80%]`, `train+validation`; "" is the split `train`, or the only one.
      test: likewise; "" is the first of test, validation, val and valid that has labels.

    Raises:
      ValueError: no such split, none that has labels, an empty one, or examples that train and test, or come twice.
    """
    names = ", ".join(lengths)
    if not train:
        train = "train" if "train" in lengths else next(iter(lengths)) if len(lengths) == 1 else ""
        if not train:
            raise ValueError(f"no split is called train, there are {names}: choose with train_split and test_split")
    training = ranges(train, lengths)
    if not test:
        others = [name for name in TEST if name in lengths and name != train]
        usable = [name for name in others if lengths[name] and labelled(name)]
        if others and not usable:
            which = " and ".join(others)
            raise ValueError(
                f"no example of {which} has a label: choose with test_split, as train[80%:] beside train[:80%]"
            )
        test = usable[0] if usable else ""
    testing = ranges(test, lengths) if test else []
    for one, other in itertools.product(training, testing):
        if _overlap(one, other):
            raise ValueError(f"{train} and {test} share examples of {one.split}: what trains must not test")
    for text, parts in ((train, training), (test, testing)):
        for one, other in itertools.combinations(parts, 2):
            if _overlap(one, other):
                raise ValueError(f"{text} names examples of {one.split} twice")
    return Choice(training, testing)


def _overlap(one: Range, other: Range) -> bool:
    return one.split == other.split and max(one.first, other.first) < min(one.end, other.end)


def ranges(text: str, lengths: Mapping[str, int]) -> list[Range]:
    """The examples that `text` names in the notation of TensorFlow Datasets.

    Raises:
      ValueError: it names no split that is there, or no example.
    """
    found = [Range(text, 0, lengths[text])] if text in lengths else list(_parsed(text, lengths))
    empty = [part.split for part in found if part.first >= part.end]
    if empty:
        raise ValueError(f"{text} has no examples: the splits are {_sizes(lengths)}")
    return found


def held_out(examples: int) -> int:
    """How many of so many examples are held out.

    Raises:
      ValueError: they are too few.
    """
    if examples < HELD_OUT:
        raise ValueError(f"{examples} examples are too few to hold out a sixth: give a test set")
    return examples // HELD_OUT


def tell_held_out(name: str, choice: Choice) -> None:
    """Says that there is nothing to test on, and what is done about it.

    Raises:
      ValueError: there are too few examples.
    """
    whole = sum(part.end - part.first for part in choice.train)
    count = held_out(whole)
    which = "+".join(part.split for part in choice.train)
    print(f"{name} has no test split: {count} of the {whole} examples of {which} are held out", file=sys.stderr)


def _parsed(text: str, lengths: Mapping[str, int]) -> Iterable[Range]:
    import tensorflow_datasets as tfds  # two seconds that a split's name does not need

    infos = {name: types.SimpleNamespace(num_examples=count, shard_lengths=[]) for name, count in lengths.items()}
    try:
        parts = tfds.core.ReadInstruction.from_spec(text).to_absolute(infos)
    except (ValueError, KeyError, AssertionError) as error:
        raise ValueError(f"no split {text!r}, as train or train[:80%]: there are {_sizes(lengths)}") from error
    for part in parts:
        yield Range(part.splitname, part.from_ or 0, lengths[part.splitname] if part.to is None else part.to)


def _sizes(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count} examples)" for name, count in lengths.items())
