"""A residual connection whose skip learns a little."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn.connection import Connection, Stream
from resjax.nn.kinds import Count
from resjax.nn.place import Place


class Laurel(Connection):
    """y = αF(x) + β(x + xAB), with learned α and β and A, D × r, and B, r × D (Menghani et al. 2024, arXiv 2411.07501).

    α = β = 1 and B = 0 at the start: the residual network.
    """

    rank: Count = 4

    @nn.compact
    def coefficients(self, x: Stream, place: Place, train: bool) -> tuple[Float[Array, ""], Stream]:
        """α, and β(x + xAB): 2Dr + 2 numbers are learned."""
        scales = self.param("scales", nn.initializers.ones, (2,), jnp.float32).astype(x.dtype)
        inward = self.param("inward", nn.initializers.lecun_normal(), (x.shape[-1], self.rank), jnp.float32).astype(
            x.dtype
        )
        onward = self.param("onward", nn.initializers.zeros, (self.rank, x.shape[-1]), jnp.float32).astype(x.dtype)
        return scales[0], scales[1] * (x + x @ inward @ onward)

    def write(self, x: Stream, f: Stream, c: tuple, place: Place) -> Stream:
        """αF(x) + β(x + xAB)."""
        return c[0] * f + c[1]

    def carry(self, x: Stream, c: tuple, place: Place) -> Stream:
        """β(x + xAB)."""
        return c[1]
