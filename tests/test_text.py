"""A text as tokens: what trains, what is held out, and whose bytes a record names."""

import dataclasses
import hashlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax import data
from resjax.data.draws import Fresh
from resjax.lab import datasets, plan, workdir
from resjax.lab.config import Running, Training
from resjax.lab.trial import Trial, address, recorded
from resjax.system import checksums
from resjax.system.errors import UserError

KEY = jax.random.key(5)
WORDS = bytes(np.random.default_rng(0).integers(32, 127, 3000, np.uint8))  # no window of five occurs twice
BATCH = jax.jit(Fresh.batch)


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of an experiment that trains."""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "words").write_bytes(WORDS)
    return tmp_path / "words"


def strings(tokens):
    """Sequences of tokens as bytes."""
    return [bytes(np.asarray(row, np.uint8)) for row in np.asarray(tokens)]


def batch(found, key, step, size=64):
    """What a training step gets, as bytes."""
    return list(map(strings, BATCH(found.train.batches(size, (), key).at(step), key, jnp.int32(step))))


def test_pythons_own_text_is_what_it_was():
    from pydoc_data import topics

    found = data.text()
    names = sorted(topics.topics)
    whole = "\n".join(map(topics.topics.get, names)).encode()
    assert data.text_digest() == hashlib.sha256(whole).hexdigest()
    assert found.train.draw.args[0].tobytes() == whole[: int(0.9 * len(whole))]
    if sys.version_info[:3] == (3, 11, 7):
        assert (len(whole), len(set(whole))) == (466_195, 107)
    assert (found.classes, found.name, found.train.shape, len(found.train)) == (256, "text", (64,), 256)


def test_a_batch_is_windows_of_what_trains_and_each_target_is_the_next_byte(path):
    inputs, targets = batch(data.text(path, window=8), KEY, 0)
    for one, other in zip(inputs, targets, strict=True):
        start = WORDS.find(one)
        assert 0 <= start < 2700 - 8 and other == WORDS[start + 1 : start + 9]


def test_every_place_of_what_trains_is_drawn_and_no_other(path):
    found = data.text(path, window=5)
    starts = [WORDS.find(one) for step in range(8) for one in batch(found, KEY, step, 250)[0]]
    assert min(starts) >= 0 and max(starts) <= 2694  # where the last target is byte 2699
    counts, _ = np.histogram(starts, 5, (0, 2695))
    assert abs(counts - 400).max() < 5 * (2000 * 0.2 * 0.8) ** 0.5
    short = path.with_name("short")
    short.write_bytes(WORDS[:60])  # 54 and 6
    few = data.text(short, window=5)
    starts = {WORDS.find(one) for step in range(20) for one in batch(few, KEY, step, 40)[0]}
    assert starts == set(range(49))


def test_key_and_step_decide_a_batch(path):
    found = data.text(path)
    assert batch(found, KEY, 3) == batch(found, KEY, 3)
    for key, step in ((KEY, 4), (jax.random.key(6), 3)):
        pairs = zip(batch(found, key, step)[0], batch(found, KEY, 3)[0], strict=True)
        assert sum(one == other for one, other in pairs) < 10  # by chance each with probability 1/2636


def test_what_is_held_out_is_the_last_tenth_window_by_window(path):
    inputs, targets = map(strings, next(data.text(path, window=7).test.all(42)))
    assert inputs == [WORDS[start : start + 7] for start in range(2700, 2993, 7)]
    assert targets == [WORDS[start + 1 : start + 8] for start in range(2700, 2993, 7)]


def test_of_a_long_text_a_thousand_windows_are_held_out(tmp_path):
    long = bytes(np.random.default_rng(1).integers(0, 256, 50_000, np.uint8))
    (tmp_path / "long").write_bytes(long)
    found = data.text(tmp_path / "long", window=4)
    starts = np.array([long.find(one, 45_000) for one in strings(found.test.images)])
    assert len(starts) == 1024 and (starts >= 45_000).all() and ((starts - 45_000) % 4 == 0).all()
    assert starts[0] == 45_000 and starts[-1] == 49_992 and set(np.diff(starts)) == {4, 8}


def test_the_fixed_training_sample_is_spread_over_what_trains(path):
    found = data.text(path, window=8)
    starts = np.array([WORDS.find(one) for one in strings(found.train.sample.images)])
    assert len(starts) == 256 and (starts[0], starts[-1]) == (0, 2691) and set(np.diff(starts)) == {10, 11}


def test_of_a_short_text_evaluation_looks_at_all_windows(path):
    path.write_bytes(WORDS[:100])
    assert strings(data.text(path, window=8).train.sample.images) == [WORDS[at : at + 8] for at in range(82)]


@pytest.mark.parametrize(("name", "window"), (
    ("text", 64), ("text(window=16)", 16), ("text:{}", 64), ("text:{}(window=16)", 16), ("text:{} (window=16)", 16),
))  # fmt: skip
def test_a_command_line_names_texts(path, name, window):
    found = plan.load(Trial(dataset=name.format(path)))
    assert found.train.shape == (window,)
    assert (len(found.train.draw.args[0]) == 2700) == ("{}" in name)


def test_the_bytes_are_part_of_the_address_and_their_place_is_not(path, monkeypatch):
    def of(name):
        datasets._digest.cache_clear()  # a process reads it once
        return address(Trial(dataset=name))

    first = of(f"text:{path}")
    assert of(f"text:{path.rename(path.with_name('moved'))}") == first != of("text")
    path.write_bytes(WORDS[1:])
    assert of(f"text:{path}") != first and of(f"text:{path}(window=9)") != of(f"text:{path}")
    own = of("text")
    monkeypatch.setattr("pydoc_data.topics.topics", {"another": "Python"})
    assert of("text") != own


def test_the_records_name_the_bytes(path, tmp_path):
    digest = hashlib.sha256(WORDS).hexdigest()
    assert recorded(Trial(dataset=f"text:{path}(window=9)"))["content"] == f"text:{digest}(window=9)"
    assert "content" not in recorded(Trial())
    config = Config(dataset=f"text:{path}", workdir=str(tmp_path / "run"))
    workdir.work_directory("fake", config, {}).open()
    (session,) = checksums.read_json(tmp_path / "run", "env.json")
    assert session["content"] == f"text:{digest}"


@pytest.mark.parametrize(("text", "window", "says"), (
    (WORDS, 0, "window=0: must be at least 1"),
    (WORDS, 2.5, "window=2.5: must be a whole number"),
    (WORDS, 300, "window=300: must be at most 299, as the text has 3000 bytes, of which 300 are held out"),
    (b"0123456789", 1, "window=1: must be at most 0, as the text has 10 bytes, of which 1 are held out"),
    (b"", 8, "words: is empty"),
    (None, 8, "words: cannot be read as a text: No such file"),
))  # fmt: skip
def test_what_is_refused(tmp_path, text, window, says):
    if text is not None:
        (tmp_path / "words").write_bytes(text)
    with pytest.raises(ValueError, match=says):
        data.text(tmp_path / "words", window)


def test_a_folder_is_no_text(tmp_path):
    for refused in (data.text, data.text_digest):
        with pytest.raises(ValueError, match="cannot be read as a text: Is a directory"):
            refused(tmp_path)


@pytest.mark.parametrize(("trial", "says"), (
    ({"dataset": "text:"}, "--dataset=text:: must be text or text:PATH"),
    ({"dataset": "text:/nowhere"}, "/nowhere: cannot be read as a text: No such file"),
    ({"dataset": "text(windw=9)"}, "no argument 'windw', perhaps window"),
    ({"dataset": "text(path='x')"}, "no argument 'path'"),
    ({"dataset": "text", "train_split": "train"}, "text has no splits to choose from"),
))  # fmt: skip
def test_what_a_command_line_cannot_ask_for(trial, says):
    with pytest.raises(UserError, match=says):
        plan.load(Trial(**trial))
