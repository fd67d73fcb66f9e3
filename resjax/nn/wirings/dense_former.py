"""Weighted averages over depth: a block reads a learned sum of all streams before."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn.connection import Stream
from resjax.nn.place import Place
from resjax.nn.wirings.memory import Memory


class DenseFormer(Memory):
    """Y_l = Σ_j α_lj X_j and X_l+1 = Y_l + F(Y_l), with X_0 the stem's output (Pagliardini et al. 2024, 2402.02622).

    At the start α_ll is 1 and the others are 0: the residual network. Each α belongs to an age, l − j: blocks that are
    moved, or share their weights, read what was written as many blocks before.
    """

    @nn.compact
    def coefficients(self, x: Float[Array, "B ... N D"], place: Place, train: bool) -> Float[Array, " N"]:
        """α: L + 1 numbers a block, that of the newest stream first; those of ages that it has not stay unused."""
        numbers = jnp.arange(self.entries(place))
        alpha = self.param("alpha", lambda _: (numbers == 0).astype(jnp.float32))
        ages = place.block - 1 - numbers
        return jnp.where(self.written(place), alpha[jnp.maximum(ages, 0)], 0).astype(x.dtype)

    def write(self, x: Float[Array, "B ... N D"], f: Stream, c: Array, place: Place) -> Float[Array, "B ... N D"]:
        """The memory, with Y + F in this block's entry."""
        return super().write(x, self.read(x, c, place) + f, c, place)

    def carry(self, x: Float[Array, "B ... N D"], c: Array, place: Place) -> Float[Array, "B ... N D"]:
        """The memory, with Y in this block's entry."""
        return super().write(x, self.read(x, c, place), c, place)

    def shown(self, x: Float[Array, "B ... N D"], place: Place) -> Stream:
        """The stream behind the block before."""
        return x[..., place.block - 1, :]
