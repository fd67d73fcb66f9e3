"""Attention over depth: a block reads a softmax of what was written before."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from resjax.nn.kinds import Size
from resjax.nn.place import Place
from resjax.nn.wirings.memory import Memory, Number
from resjax.nn.wirings.streams import EPSILON


class AttentionResidual(Memory):
    """h_l = Σ_i softmax_i(w_lᵀ RMS(v_i)) v_i, of the stem's output v_0 and all F_i before (arXiv 2603.15031).

    With `blocks` the entries are the sums of so many groups of blocks, as even as can be, and a block reads the sum so
    far of its own group; 0 is the full form. At the start w is 0 and the mean is read: behind a norm that is the
    residual network.
    """

    blocks: Size = 8

    @property
    def appends(self) -> bool:
        """Whether entries are written once; a group's sum grows."""
        return not self.blocks

    def groups(self, place: Place) -> int:
        """How many there are."""
        return min(self.blocks or place.length, place.length)

    def entries(self, place: Place) -> int:
        """The groups and the stem's output."""
        return self.groups(place) + 1

    def entry(self, place: Place) -> Number:
        """That of the block's group."""
        return self.group(place.block, place)

    def group(self, block: Number, place: Place) -> Number:
        """The group of a block, from 1; 0 of the stem, and behind the last block one more."""
        return (block - 1) * self.groups(place) // place.length + 1

    def written(self, place: Place) -> Bool[Array, " N"]:
        """All entries to that of the block before."""
        return jnp.arange(self.entries(place)) <= self.group(place.block - 1, place)

    @nn.compact
    def coefficients(self, x: Float[Array, "B ... N D"], place: Place, train: bool) -> Float[Array, "B ... N"]:
        """The softmax, in float32 at the least: D numbers a block, w."""
        query = self.param("query", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        lengths = jnp.sqrt((wide**2).mean(-1) + EPSILON)  # divided by at last: else all of RMS(v) would be stored
        queries = jnp.broadcast_to(query, (*x.shape[:-2], x.shape[-1]))  # B … D: token by token, as in `read`
        found = jnp.einsum("...nd,...d->...n", wide, queries) / lengths
        return nn.softmax(found, -1, where=self.written(place)).astype(x.dtype)
