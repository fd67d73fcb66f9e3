"""What connections share that keep all that was written: each block reads the stem's output and all blocks before."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from resjax.nn.connection import Connection, Stream
from resjax.nn.place import Place

Number = Int[Array, "..."] | Int[np.ndarray, "..."] | int


class Memory(Connection):
    """B … N D: entry 0 is the stem's output, entry k what block k wrote; N is L + 1. Those to come are zero.

    The coefficients of a subclass are the weights of the entries, … N. They are zero for those that are not written
    yet, so that a block does not depend on them: with `remat`, `Stack` then keeps one memory for the way back, not one
    a block. A subclass whose entries are written more than once, as those of groups of blocks, is none that `appends`.
    """

    @property
    def appends(self) -> bool:
        """True: entries are written once."""
        return True

    def entries(self, place: Place) -> int:
        """N."""
        return place.length + 1

    def entry(self, place: Place) -> Number:
        """Where a block writes."""
        return place.block

    def written(self, place: Place) -> Bool[Array, " N"]:
        """Whether an entry has been written before this block."""
        return jnp.arange(self.entries(place)) < self.entry(place)

    def widen(self, x: Stream, place: Place) -> Float[Array, "B ... N D"]:
        """x, and room for all that will be written."""
        room = jnp.zeros((*x.shape[:-1], self.entries(place), x.shape[-1]), x.dtype)
        return room.at[..., 0, :].set(x)

    def narrow(self, x: Float[Array, "B ... N D"], place: Place) -> Stream:
        """What one more block would read: its weights are learned, too."""
        return self.read(x, self.coefficients(x, place, False), place)

    def read(self, x: Float[Array, "B ... N D"], c: Float[Array, "... N"], place: Place) -> Stream:
        """Σ_k c_k X_k, token by token: in a product over all at once XLA copies the memory in every block."""
        return jnp.einsum("...nd,...n->...d", x, jnp.broadcast_to(c, x.shape[:-1]))

    def write(self, x: Float[Array, "B ... N D"], f: Stream, c: Any, place: Place) -> Float[Array, "B ... N D"]:
        """The memory, with F added to this block's entry, which a gradient passes as it is."""
        return x.at[..., self.entry(place), :].add(f)

    def shown(self, x: Float[Array, "B ... N D"], place: Place) -> Stream:
        """The sum of all that was written: the stream of a residual network."""
        return jnp.where(self.written(place)[:, None], x, 0).sum(-2)
