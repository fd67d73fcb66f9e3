"""Tasks whose answer takes several steps in a row, one after the other: new examples for every training step.

Iterated maps are what deep networks write with exponentially fewer units than shallow ones (Telgarsky 2016, arXiv
1602.04485): k times the tent map has 2^k linear pieces.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from resjax.data.dataset import Dataset
from resjax.data.draws import Draw, Generated, drawn
from resjax.data.from_arrays import arrays
from resjax.data.from_tokens import sequences
from resjax.data.in_memory import Split
from resjax.random_streams import stream
from resjax.system import memory

COPIES = 4  # of the fixed samples' examples: two splits, each as it is drawn and normalised
SAMPLE = 8192  # examples of each split that are drawn once, and looked at as a whole


def generated(draw: Draw, classes: int, name: str = "this set", examples: int = SAMPLE) -> Dataset:
    """A data set whose every training step draws new examples; a fixed sample is held out.

    Training loss and accuracy are those of another fixed sample, whose first examples are a finite training set
    (`Dataset.first`). Each of the draws has a stream of its own; where few examples are possible, one can come twice.

    Args:
      draw: see `generated.Draw`. Where it gives a label for every token, the tokens are no numbers (see `sequences`).
      classes: K; labels are from 0 to K - 1.
      name: in messages.
      examples: of the fixed samples, each.

    Raises:
      ValueError: examples that do not fit into the memory, examples or labels that `arrays` or `sequences` refuse,
        or numbers in the place of labels: those of a regression would have to be standardised.
    """
    one = jax.eval_shape(draw, jax.random.key(0))
    memory.check(COPIES * examples * memory.bytes_of(one), f"{name}: a sample of {2 * examples} examples")
    images, labels = drawn(draw, stream(jax.random.key(0), "sample"), examples)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"{name}: a draw must give a label, an integer, not {labels.dtype}")
    held_out = drawn(draw, stream(jax.random.key(0), "held_out"), examples)
    each = jnp.issubdtype(labels.dtype, jnp.integer) and labels.ndim == 2
    fixed = sequences(images, labels, classes, held_out) if each else arrays(images, labels, held_out, classes)
    assert isinstance(fixed.train, Split)
    return dataclasses.replace(fixed, train=Generated(draw, fixed.train), name=name)


def tent(z: Float[Array, " D"]) -> Float[Array, " D"]:
    """0 to 1 and back, each coordinate."""
    return 1 - jnp.abs(1 - 2 * z)


def logistic(z: Float[Array, " D"]) -> Float[Array, " D"]:
    """4z(1 − z), each coordinate."""
    return 4 * z * (1 - z)


def cat(z: Float[Array, " D"]) -> Float[Array, " D"]:
    """Arnold's, on every two coordinates: (x, y) -> (2x + y, x + y), modulo 1."""
    x = z[0::2]
    y = z[1::2]
    return jnp.stack([(2 * x + y) % 1, (x + y) % 1], 1).ravel()


MAPS = {"tent": tent, "logistic": logistic, "cat": cat}


@functools.cache
def iterated(map: str = "tent", times: int = 4, dims: int = 1) -> Dataset:
    """Where is a point, drawn evenly from the unit cube, after a map has moved it so many times?

    Points have the shape 1 D 1. The label says which half every coordinate is in: 2^D classes.

    Raises:
      ValueError: an unknown map, a negative number of times, no dimension or more than 8, or an odd one for `cat`.
    """
    if map not in MAPS:
        raise ValueError(f"map must be one of {', '.join(MAPS)}, not {map!r}")
    if not 0 <= times <= 16:  # float32 has 23 binary digits, and the map takes one or two of them
        raise ValueError(f"times must be from 0 to 16, not {times}")
    if not 1 <= dims <= 8 or (map == "cat" and dims % 2):
        raise ValueError(f"dims must be from 1 to 8, and even for cat, not {dims}")
    return generated(Iterated(map, times, dims), 2**dims, f"iterated {map}")


@dataclasses.dataclass(frozen=True)
class Iterated:
    """Draws a point, and where the map takes it."""

    map: str
    times: int
    dims: int

    def __call__(self, key: PRNGKeyArray) -> tuple[Float[Array, "1 D 1"], Int[Array, ""]]:
        """The point and its label."""
        point = jax.random.uniform(key, (self.dims,), jnp.float32)
        end = jax.lax.fori_loop(0, self.times, lambda _, z: MAPS[self.map](z), point)
        label = (end > 0.5).astype(jnp.int32) @ 2 ** jnp.arange(self.dims, dtype=jnp.int32)
        return point[None, :, None], label


@functools.cache
def hops(k: int = 2, size: int = 8) -> Dataset:
    """Where does one arrive who follows k pointers? Every example has a table of its own.

    An example is size + 1 rows of `size`, a one in each: row i says where i points to, the last one where to start.
    Its shape is size + 1, size, 1; the label is the end, one of `size` classes.

    Raises:
      ValueError: a negative k, or a size below 2.
    """
    if k < 0:
        raise ValueError(f"k must be at least 0, not {k}")
    if size < 2:
        raise ValueError(f"size must be at least 2, not {size}")
    return generated(Hops(k, size), size, "hops")


@dataclasses.dataclass(frozen=True)
class Hops:
    """Draws a table of pointers and a start, and where it leads to."""

    k: int
    size: int

    def __call__(self, key: PRNGKeyArray) -> tuple[Float[Array, "R M 1"], Int[Array, ""]]:
        """The table with the start, and the end."""
        rows = jax.random.randint(key, (self.size + 1,), 0, self.size, jnp.int32)  # the last one is the start
        end = jax.lax.fori_loop(0, self.k, lambda _, at: rows[at], rows[-1])
        return jax.nn.one_hot(rows, self.size, dtype=jnp.float32)[..., None], end
