"""A text: its bytes are the tokens, and each one's target is the byte that follows it."""

import dataclasses
import hashlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Int, PRNGKeyArray, UInt8

from resjax.data.dataset import Dataset
from resjax.data.draws import Generated
from resjax.data.from_tokens import sequences
from resjax.nn.arguments import checked
from resjax.nn.kinds import Count

BYTES = 256  # that there are: the vocabulary, and the classes
SAMPLE = 256  # windows of the training text that evaluation looks at
HELD_OUT = 1024  # of those of the held-out text, at most


@checked
def text(path: str | pathlib.Path = "", window: Count = 64) -> Dataset:
    """The bytes of a text, of which the first nine tenths train; the others are held out.

    Every training step draws windows at random places, on the device. What evaluation sees of the training text is 256
    windows, spread evenly; of the held-out text it is all windows that do not overlap, or 1024 of them spread evenly.

    Args:
      path: of the text. "" is the reference of Python's own `help`, `pydoc_data.topics`, sorted by name: half a
        megabyte of English that changes with Python (see `text_digest`).
      window: T, the tokens of an input.

    Raises:
      ValueError: no such file, an empty one, or one that has no room for a window in either of its parts.
    """
    found = np.frombuffer(_read(path), np.uint8)
    train = found[: len(found) * 9 // 10]
    rest = found[len(train) :]
    room = min(len(train), len(rest)) - 1  # the last byte of a part is a target alone
    if window > room:
        there = f"as the text has {len(found)} bytes, of which {len(rest)} are held out"
        raise ValueError(f"window={window}: must be at most {room}, {there}")
    spread = np.linspace(0, len(train) - window - 1, SAMPLE).astype(int)
    apart = np.arange(0, len(rest) - window, window)
    chosen = np.linspace(0, len(apart) - 1, min(HELD_OUT, len(apart))).astype(int)
    fixed = sequences(*_windows(train, np.unique(spread), window), BYTES, _windows(rest, apart[chosen], window))
    drawn = Generated(Partial(Window(window), jnp.asarray(train)), fixed.train)  # type: ignore[arg-type]
    return dataclasses.replace(fixed, train=drawn, name="text")


def text_digest(path: str | pathlib.Path = "") -> str:
    """SHA-256 of a text (see `text`) in hexadecimal digits: what a record names it by.

    Raises:
      ValueError: no such file, or an empty one.
    """
    return hashlib.sha256(_read(path)).hexdigest()


@dataclasses.dataclass(frozen=True)
class Window:
    """Draws so many bytes of a text, and those that follow each of them."""

    length: int

    def __call__(self, text: UInt8[Array, " n"], key: PRNGKeyArray) -> tuple[Int[Array, " T"], Int[Array, " T"]]:
        """The tokens, and their targets."""
        start = jax.random.randint(key, (), 0, len(text) - self.length, jnp.int32)
        window = jax.lax.dynamic_slice_in_dim(text, start, self.length + 1).astype(jnp.int32)
        return window[:-1], window[1:]


def _windows(part: np.ndarray, starts: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens (N T) of the windows that start at these places, and their targets (N T)."""
    found = part[starts[:, None] + np.arange(window + 1)]
    return found[:, :-1], found[:, 1:]


def _read(path: str | pathlib.Path) -> bytes:
    if not path:
        from pydoc_data.topics import topics  # half a megabyte that others do not need

        return "\n".join(topics[name] for name in sorted(topics)).encode()
    try:
        found = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as a text: {error.strerror}") from error
    if not found:
        raise ValueError(f"{path}: is empty")
    return found
