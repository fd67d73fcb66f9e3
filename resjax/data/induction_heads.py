"""k-hop induction: where did this symbol stand last, and what came then, k times in a row?

Sanford, Hsu & Telgarsky 2024 (arXiv 2402.09268): transformers need about log2 k layers for it. One hop is what an
induction head does (Olsson et al. 2022, arXiv 2209.11895).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from resjax.data.dataset import Dataset
from resjax.data.tasks import generated
from resjax.nn.arguments import checked
from resjax.nn.kinds import Count

SAMPLE = 1024  # sequences of each split that are drawn once, with a target for every token


@checked
@functools.cache
def induction(hops: Count = 1, length: Count = 64, symbols: Count = 8) -> Dataset:
    """Where does one arrive who hops back so many times? Every sequence has symbols of its own.

    An input is x_1 … x_T, symbols drawn evenly from 1 to `symbols`. One hop goes from place i to j + 1, where j < i is
    the last place with x_j = x_i; j + 1 may be i. Where there is no such j it leads nowhere. The target at i is the
    symbol at the place that `hops` hops from i lead to, and 0 where one of them leads nowhere. In the paper a hop is
    find(i) = max({0} ∪ {j ≤ i: x_{j-1} = x_i}), and what is 0 here is ⊥.

    Args:
      hops: k.
      length: T, of a sequence.
      symbols: how many there are; with 0 there are so many classes and one more.
    """
    return generated(Induction(hops, length, symbols), symbols + 1, "induction", SAMPLE)


@dataclasses.dataclass(frozen=True)
class Induction:
    """Draws a sequence, and where hops lead to from each of its places."""

    hops: int
    length: int
    symbols: int

    def __call__(self, key: PRNGKeyArray) -> tuple[Int[Array, " T"], Int[Array, " T"]]:
        """The symbols and their targets."""
        x = jax.random.randint(key, (self.length,), 1, self.symbols + 1, jnp.int32)
        place = jnp.arange(self.length, dtype=jnp.int32)  # from 0: no hop leads there, so that 0 is nowhere, too
        before = (x == x[:, None]) & (place < place[:, None])  # i j
        hop = jnp.where(before, place + 1, 0).max(1)  # T
        end = jax.lax.fori_loop(0, self.hops, lambda _, at: hop[at], place)
        return x, jnp.where(end > 0, x[end], 0)
