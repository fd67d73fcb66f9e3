"""Streams with gates, which do not mix."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn.connection import Stream
from resjax.nn.place import Place
from resjax.nn.wirings.streams import Streams, rms

SPREAD = 0.1  # of the gates' logits at the start: streams with equal gates would stay equal for ever


class GatedStreams(Streams):
    """z = (1/n) Σ_s σ(g_s) ⊙ RMS(X_s) and X′_s = X_s + 2σ(h_s) F(z), with learned gates.

    g has a number for each feature of each stream, h one for each stream. The gated residual streams that large models
    are reported to have. At the start the gates are near ½, each a little off, which tells the streams apart: behind a
    norm it is nearly the residual network.
    """

    @nn.compact
    def coefficients(
        self, x: Float[Array, "B ... n D"], place: Place, train: bool
    ) -> tuple[Float[Array, "n D"], Float[Array, " n"]]:
        """σ(g) and 2σ(h): n(D + 1) numbers."""
        inward = self.param("inward", nn.initializers.normal(SPREAD), x.shape[-2:], jnp.float32)
        onward = self.param("onward", nn.initializers.normal(SPREAD), (self.n,), jnp.float32)
        return nn.sigmoid(inward).astype(x.dtype), (2 * nn.sigmoid(onward)).astype(x.dtype)

    def read(self, x: Float[Array, "B ... n D"], c: tuple, place: Place) -> Stream:
        """(1/n) Σ_s σ(g_s) ⊙ RMS(X_s); where a stage opens, X has fewer features than gates."""
        return (c[0][:, : x.shape[-1]] * rms(x).astype(x.dtype)).mean(-2)

    def write(self, x: Float[Array, "B ... n D"], f: Stream, c: tuple, place: Place) -> Float[Array, "B ... n D"]:
        """X_s + 2σ(h_s) F(z)."""
        return x + c[1][:, None] * f[..., None, :]

    def carry(self, x: Float[Array, "B ... n D"], c: tuple, place: Place) -> Float[Array, "B ... n D"]:
        """X."""
        return x
