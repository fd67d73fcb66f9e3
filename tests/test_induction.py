"""k-hop induction: the targets are those of a plain loop over each sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax import data
from resjax.data.draws import Fresh
from resjax.lab import plan
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

KEY = jax.random.key(2)
BATCH = jax.jit(Fresh.batch)


def reached(x, i, hops):
    """Where so many hops from i lead to, in the words of the paper: places count from 1, and 0 is nowhere."""
    for _ in range(hops):
        i = max([0, *(j for j in range(2, i + 1) if x[j - 2] == x[i - 1])])
    return i


@pytest.mark.parametrize(("hops", "length", "symbols"), ((3, 20, 3), (2, 9, 1)))
def test_targets_are_where_hops_lead(hops, length, symbols):
    found = data.induction(hops=hops, length=length, symbols=symbols)
    drawn = BATCH(found.train.abstract(64, ()), KEY, jnp.int32(0))
    for inputs, targets in (drawn, next(found.test.all(64)), next(found.train.all(64))):
        for x, y in zip(np.asarray(inputs).tolist(), np.asarray(targets).tolist(), strict=True):
            ends = [reached(x, i, hops) for i in range(1, length + 1)]
            assert y == [x[end - 1] if end else 0 for end in ends]


def test_one_hop_is_what_followed_the_same_symbol_last():
    found = data.induction(length=64, symbols=8)
    for x, y in zip(*map(np.asarray, next(found.test.all(20))), strict=True):
        text = "".join(map(str, x))
        last = [text.rfind(text[i], 0, i) for i in range(64)]
        assert y.tolist() == [0 if at < 0 else int(text[at + 1]) for at in last]


def test_symbols_are_drawn_evenly_and_apart_from_those_held_out():
    found = data.induction(length=64, symbols=8)
    train, test = (np.asarray(split.images) for split in (found.train.sample, found.test))
    assert train.shape == test.shape == (1024, 64) and found.classes == 9
    for drawn in (train, test):
        counts = np.bincount(drawn.ravel(), minlength=9)
        assert counts[0] == 0 and abs(counts[1:] - 2**13).max() < 5 * (2**16 / 8 * 7 / 8) ** 0.5
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}


def test_every_step_draws_new_sequences():
    source = data.induction(length=64, symbols=8).train.abstract(32, ())
    first, again, later = (np.asarray(BATCH(source, KEY, jnp.int32(at))[0]) for at in (0, 0, 1))
    assert np.array_equal(first, again) and not (first == later).all(1).any()


def test_a_command_line_names_it():
    found = plan.load(Trial(dataset="induction(hops=3,length=20,symbols=3)"))
    assert found.train.shape == (20,) and found.classes == 4 and found.name == "induction"


@pytest.mark.parametrize("name", ("hops", "length", "symbols"))
def test_what_is_refused(name):
    with pytest.raises(UserError, match=f"{name}=0: must be at least 1"):
        plan.load(Trial(dataset=f"induction({name}=0)"))
