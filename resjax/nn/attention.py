"""The two branches of a transformer's block: attention over the tokens of a sequence, and a network of each token."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from resjax.nn.branches import Branch
from resjax.nn.initializers import Site
from resjax.nn.kinds import Count, Positive
from resjax.nn.place import Place, call

ROTARY_BASE = 10_000.0


class Attention(Branch):
    """Multi-head self-attention, B T D -> B T D (Vaswani et al. 2017, arXiv 1706.03762, section 3.2).

    The longest path has two layers of weights, those of the values and of the output. The softmax is in float32,
    whatever the precision. What probes see of it, `entropy`, is sown into the collection `attention`.
    """

    heads: Count = 4
    causal: bool = True  # a token sees those before it and itself
    rotary: bool = True  # queries and keys are turned by their places (Su et al. 2021, arXiv 2104.09864)

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T ... D"], train: bool, place: Place | None = None
    ) -> Float[Array, "B T ... D"]:
        """F(x), in the shape of x: B T D; or B T 2 D, the stream and the first attention's values, and V is returned.

        Raises:
          ValueError: a width that the heads do not divide, or, with rotary places, not into even parts.
        """
        width = x.shape[-1]
        if width % self.heads:
            raise ValueError(f"width {width}: must be a multiple of {self.heads}, the heads")
        first = x[..., 1, :] if x.ndim == 4 else None
        x = self.pointwise("before", x if first is None else x[..., 0, :], train, place)
        query, key = (self.split(self.dense(x, width, layer, place)) for layer in (-2, -1))  # B T H D/H
        own = self.dense(x, width, 0, place)
        value = self.split(own if first is None else jnp.where(missing(first), own, (own + first) / 2))
        if self.rotary:
            query = rotated(query)
            key = rotated(key)
        if not self.is_initializing() and self.is_mutable_collection("attention"):
            self.sow("attention", "entropy", entropy(query, key, self.causal))
        found = jax.nn.dot_product_attention(query, key, value, is_causal=self.causal)  # B T H D/H
        x = self.pointwise("end", self.dense(found.reshape(x.shape), width, 1, place), train, place)
        return x if first is None else jnp.stack([x, own], -2)

    def split(self, x: Float[Array, "B T D"]) -> Float[Array, "B T {self.heads} D//{self.heads}"]:
        """The heads' parts of the width."""
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def site(self, layer: int, place: Place | None) -> Site:
        """Queries and keys, layers −2 and −1, decide where to look, and are in no product of weights on the way."""
        return Site("attention" if layer < 0 else self.role, layer, self.layers, place)


def missing(first: Float[Array, "B T D"]) -> Bool[Array, "B 1 1"]:
    """Of which examples no attention has run yet, whose values could be the first ones: theirs are zero."""
    return (first == 0).all((-2, -1), keepdims=True)


class MLP(Branch):
    """Two layers with an activation between them, of each token by itself: B … D -> B … D.

    With `gated` the first is two: activation(xV) ⊙ xW, as in SwiGLU with activation silu (Shazeer 2020, arXiv
    2002.05202).
    """

    ratio: Positive = 4.0  # of the hidden units to the width
    gated: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B ... D"], train: bool, place: Place | None = None) -> Float[Array, "B ... D"]:
        """F(x), in the shape of x."""
        width = x.shape[-1]
        hidden = max(1, round(self.ratio * width))
        x = self.pointwise("before", x, train, place)
        gate = self.dense(x, hidden, 0, place) if self.gated else None
        x = self.pointwise("between", self.dense(x, hidden, 0, place), train, place)  # B … hidden
        x = self.dense(x if gate is None else x * gate, width, 1, place)
        return self.pointwise("end", x, train, place)


class Parallel(Branch):
    """Attention and MLP of the same tokens, added: one branch (Wang & Komatsuzaki 2021, GPT-J)."""

    attention: nn.Module = Attention()
    mlp: nn.Module = MLP()

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], train: bool, place: Place | None = None) -> Float[Array, "B T D"]:
        """F(x), in the shape of x: the two share what stands before and behind them."""
        x = self.pointwise("before", x, train, place)
        x = call(self.attention, x, train, place) + call(self.mlp, x, train, place)
        return self.pointwise("end", x, train, place)


def entropy(query: Float[Array, "B T H D"], key: Float[Array, "B T H D"], causal: bool) -> Float[Array, ""]:
    """How widely tokens look, in nats: the entropy of a token's attention, mean over tokens and heads.

    Attention that is uniform has ln T, or ln t at the t-th token if it is causal; 0 is a look at one token.
    """
    precision = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("bthd,bshd->bhts", query.astype(precision), key.astype(precision)) / query.shape[-1] ** 0.5
    tokens = query.shape[1]
    seen = jnp.tril(jnp.ones((tokens, tokens), bool)) if causal else jnp.ones((tokens, tokens), bool)
    shares = jax.nn.softmax(scores, -1, where=seen)
    return jax.scipy.special.entr(shares).sum(-1, where=seen).mean()


def rotated(x: Float[Array, "B T H D"]) -> Float[Array, "B T H D"]:
    """Queries or keys, each turned by its place t: the pair (i, i + D/2) by the angle t · 10000^(−2i/D).

    Raises:
      ValueError: an odd D, that of a head.
    """
    tokens, dims = x.shape[1], x.shape[-1]
    if dims % 2:
        raise ValueError(f"{dims} units a head: rotary places need an even number")
    precision = jnp.promote_types(x.dtype, jnp.float32)
    speeds = ROTARY_BASE ** (-jnp.arange(0, dims, 2, dtype=precision) / dims)  # D/2
    angles = jnp.arange(tokens, dtype=precision)[:, None, None] * speeds  # T 1 D/2
    first, second = jnp.split(x.astype(precision), 2, -1)
    turned = first * jnp.cos(angles) - second * jnp.sin(angles), first * jnp.sin(angles) + second * jnp.cos(angles)
    return jnp.concatenate(turned, -1).astype(x.dtype)
