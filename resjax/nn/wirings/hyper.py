"""Hyper-connections: a block reads, mixes and writes n streams by learned numbers."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resjax.nn.place import Place
from resjax.nn.wirings.streams import EPSILON, Mixing, Streams, home

SCALE = 0.01  # of the part that depends on the streams, at the start (Zhu et al. 2024)


class Hyper(Streams):
    """X′ = AᵀX + b F(aᵀX)ᵀ with learned a, A and b (Zhu et al. 2024, arXiv 2409.19606, eq. 1 to 5).

    At the start a reads the stream whose turn it is, A is the identity and b is 1: the residual network. With `dynamic`
    s·tanh(LN(X)W) is added to each of the three, of which W is zero and s 0.01 at the start. A stream decides so where
    it goes: row s of A is what stream s gives. The parameter `mix` is Aᵀ.
    """

    dynamic: bool = False

    @nn.compact
    def coefficients(self, x: Float[Array, "B ... n D"], place: Place, train: bool) -> Mixing:
        """n(n + 2) numbers; with `dynamic` those of each token."""
        n = self.n
        read = self.param("read", lambda _: home(place, n))
        mix = self.param("mix", lambda _: jnp.eye(n, dtype=jnp.float32))
        write = self.param("write", nn.initializers.ones, (n,), jnp.float32)
        if self.dynamic:
            wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
            norm = nn.LayerNorm(EPSILON, wide.dtype, use_bias=False, use_scale=False, use_fast_variance=False)
            normed = norm(wide)
            inward, onward = (
                self.param(name, nn.initializers.constant(SCALE), (), jnp.float32) for name in ("inward", "onward")
            )
            shapes = {"read": x.shape[-1:], "mix": (x.shape[-1], n), "write": x.shape[-1:]}
            to_read, to_mix, to_write = (
                jnp.tanh(normed @ self.param(f"{name}_weights", nn.initializers.zeros, shape, jnp.float32))
                for name, shape in shapes.items()
            )
            read = read + inward * to_read
            mix = mix + inward * to_mix.swapaxes(-1, -2)
            write = write + onward * to_write
        return Mixing(*(each.astype(x.dtype) for each in (read, mix, write)))
