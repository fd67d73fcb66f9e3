"""Which examples of a data set train, and which are held out."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from small_sets import FIXED, examples, flat, load, prepare

from resjax import data
from resjax.data import splits
from resjax.data.pictures import Form
from resjax.data.sources import assembled

TRAIN = examples(12)


@pytest.mark.parametrize("image", ({}, FIXED))
def test_where_the_test_split_has_no_labels_the_validation_split_tests(tmp_path, image):
    pixels = flat if image else None
    unlabelled = examples(5, lambda index: -1, pixels)
    sets = {"train": examples(12, image=pixels), "test": unlabelled, "validation": examples(4, image=pixels)}
    prepare(tmp_path, **image, **sets)
    assert len(load(tmp_path).test) == 4


def test_where_no_split_that_tests_has_labels_it_is_refused(tmp_path):
    prepare(tmp_path, train=TRAIN, test=examples(5, lambda index: -1))
    with pytest.raises(
        ValueError, match=r"small: no example of test has a label: choose with test_split, as train\[80"
    ):
        load(tmp_path)


@pytest.mark.parametrize("pixels", (flat, None))
def test_where_there_is_only_train_a_sixth_is_held_out_and_it_is_said(tmp_path, pixels, capsys):
    options = FIXED if pixels else {}
    prepare(tmp_path, **options, train=examples(12, lambda index: index, pixels), label=_labels(12))
    capsys.readouterr()
    found = load(tmp_path)
    assert capsys.readouterr().err == "small has no test split: 2 of the 12 examples of train are held out\n"
    seen = [next(split.all(len(split)))[1].tolist() for split in (found.train, found.test)]
    assert [len(labels) for labels in seen] == [10, 2] and sorted(seen[0] + seen[1]) == list(range(12))
    data.load.cache_clear()
    again = load(tmp_path)
    assert next(again.test.all(2))[1].tolist() == seen[1]


def _labels(count):
    return tfds.features.ClassLabel(num_classes=count)


def test_an_empty_split_is_refused(tmp_path):
    prepare(tmp_path, train=TRAIN, test=examples(1))
    with pytest.raises(
        ValueError, match=r"train\[3:3\] has no examples: the splits are train \(12 examples\), test \(1"
    ):
        load(tmp_path, train_split="train[3:3]")


LENGTHS = {"train": 100, "test": 20, "validation": 10, "nothing": 0}


@pytest.mark.parametrize(
    ("train", "test", "found"),
    (
        ("", "", ([("train", 0, 100)], [("test", 0, 20)])),
        ("train[:80%]", "train[80%:]", ([("train", 0, 80)], [("train", 80, 100)])),
        ("train[10:20]", "", ([("train", 10, 20)], [("test", 0, 20)])),
        ("train+validation[-3:]", "", ([("train", 0, 100), ("validation", 7, 10)], [("test", 0, 20)])),
        ("test", "", ([("test", 0, 20)], [("validation", 0, 10)])),
    ),
)
def test_splits_are_chosen_in_the_notation_of_tensorflow_datasets(train, test, found):
    assert splits.choose(LENGTHS, lambda split: True, train, test) == found


@pytest.mark.parametrize(
    ("train", "test", "says"),
    (
        ("train", "train[90%:]", r"train and train\[90%:\] share examples of train"),
        ("train+test", "", r"train\+test and test share examples of test"),
        ("train[:80%]+train[50%:]", "", r"train\[:80%\]\+train\[50%:\] names examples of train twice"),
        ("train", "test+test[:3]", r"test\+test\[:3\] names examples of test twice"),
        ("tarin", "", r"no split 'tarin', as train or train\[:80%\]: there are train \(100 examples\), test"),
        ("train[:200]", "", r"no split 'train\[:200\]'"),
        ("train[", "", r"no split 'train\['"),
        ("nothing", "", "nothing has no examples"),
        ("train[50:40]", "", "has no examples"),
    ),
)
def test_splits_that_cannot_be_chosen(train, test, says):
    with pytest.raises(ValueError, match=says):
        splits.choose(LENGTHS, lambda split: True, train, test)


def test_a_set_without_a_split_called_train_must_be_told_which():
    with pytest.raises(ValueError, match="no split is called train, there are a, b: choose with train_split"):
        splits.choose({"a": 5, "b": 5}, lambda split: True)
    assert splits.choose({"full": 5}, lambda split: True) == ([("full", 0, 5)], [])


@pytest.mark.parametrize("image", ({}, FIXED))
def test_chosen_splits_of_a_prepared_set_are_those_examples(tmp_path, image):
    prepare(tmp_path, **image, train=examples(12, lambda index: index, flat), label=_labels(12))
    found = load(tmp_path, train_split="train[:3]+train[6:8]", test_split="train[-2:]")
    assert next(found.train.all(5))[1].tolist() == [0, 1, 2, 6, 7]
    assert next(found.test.all(2))[1].tolist() == [10, 11]
    assert isinstance(found.train, data.Split if image else data.Stream)


def test_what_is_built_in_has_no_splits_to_choose():
    with pytest.raises(ValueError, match="digits has no splits to choose from"):
        data.load("digits", train_split="train[:10]")


def test_a_split_that_is_gone_as_a_whole_was_left_out(tmp_path):
    folder = prepare(tmp_path, train=TRAIN, test=examples(2), validation=examples(3))
    next(folder.glob("small-test*")).unlink()
    assert len(load(tmp_path).test) == 3


def test_the_first_examples_of_a_held_out_stream(tmp_path):
    prepare(tmp_path, train=TRAIN)
    found = load(tmp_path).first(4)
    assert found.train.shape == (8, 8, 1) and len(found.train) == 4


def test_a_first_example_of_a_test_split_that_cannot_be_read_is_named():
    class Damaged(list):
        def __getitem__(self, index):
            raise RuntimeError("a shard ends too early")

    source = [{"image": np.zeros((4, 4, 1), np.uint8), "label": 0} for _ in range(12)]
    sets = {"train": source, "test": Damaged(source)}
    with pytest.raises(ValueError, match=r"^own, split test: example 0 cannot be read: a shard ends too early$"):
        assembled("own", sets, Form((4, 4, 1), "uint8"), 2, data.Wanted())
