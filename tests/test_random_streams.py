import itertools

import jax
import pytest

from resjax.random_streams import TRAINING, stream

KEY = jax.random.key(7)
OTHERS = ("deletions", "directions", "probe", "a name that nobody has used before")


def numbers(name):
    return tuple(jax.random.key_data(stream(KEY, name)).tolist())


@pytest.mark.parametrize(
    ("number", "name"), list(enumerate(("weights", "order", "noise", "augmentations", "gates")))
)  # written out: what has been trained was trained with these
def test_the_streams_of_training_keep_their_numbers(number, name):
    assert (stream(KEY, name) == jax.random.fold_in(KEY, number)).all()


def test_names_are_streams_of_their_own():
    names = (*TRAINING, *OTHERS)
    assert all(numbers(one) != numbers(other) for one, other in itertools.combinations(names, 2))
    assert all(numbers(name) == numbers(name) for name in names)


def test_the_stream_of_a_name_is_that_of_every_process():  # unlike Python's hash of it
    assert (stream(KEY, "deletions") == jax.random.fold_in(KEY, 1344784021)).all()
