"""Data sets of sequences: tokens, and a target for each of them, held on the device."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Int

from resjax.data import validate
from resjax.data.dataset import Dataset
from resjax.data.from_arrays import hold_out
from resjax.data.in_memory import Split
from resjax.nn import arguments
from resjax.nn.kinds import Count


def sequences(
    inputs: Int[ArrayLike, "N T"],
    targets: Int[ArrayLike, "N T"],
    vocabulary: Count,
    test: tuple[Int[ArrayLike, "n T"], Int[ArrayLike, "n T"]] | None = None,
) -> Dataset:
    """A data set of sequences of tokens with a target for each token, held on the device as int32.

    Args:
      inputs: N T integers from 0 to vocabulary - 1.
      targets: likewise: what is to be said at each place.
      vocabulary: K, the number of tokens, and of classes.
      test: the held-out inputs and targets, n T. None holds out a sixth of the sequences as `arrays` does.

    Raises:
      ValueError: inputs or targets of another shape or type, numbers of them that differ, tokens out of range, or too
        few sequences to hold out any.
    """
    arguments.check(sequences, {"vocabulary": vocabulary})
    train = _checked(inputs, targets, vocabulary, "")
    if test is None:
        train, held_out = hold_out(*train)
    else:
        held_out = _checked(*test, vocabulary, "test ")
        length, other = train[0].shape[1], held_out[0].shape[1]
        if other != length:
            raise ValueError(f"test inputs are n {other}, but training inputs are N {length}")
    return Dataset(_split(*train), _split(*held_out), int(vocabulary))


def _checked(inputs: ArrayLike, targets: ArrayLike, vocabulary: int, which: str) -> tuple[np.ndarray, np.ndarray]:
    x = validate.tokens(inputs, vocabulary, f"{which}inputs")
    y = validate.tokens(targets, vocabulary, f"{which}targets")
    if x.shape != y.shape:
        forms = " and ".join(" ".join(map(str, array.shape)) for array in (x, y))
        raise ValueError(f"{which}inputs and targets must be N T alike: their shapes are {forms}")
    return x, y


def _split(inputs: np.ndarray, targets: np.ndarray) -> Split:
    return Split(jnp.asarray(inputs.astype(np.int32)), jnp.asarray(targets.astype(np.int32)), None, None)
