"""Hyper-connections whose mixing neither grows nor shrinks: its rows and columns sum to 1."""

import itertools
import math
from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from resjax.nn.kinds import Count, Range
from resjax.nn.place import Place
from resjax.nn.wirings.streams import EPSILON, Mixing, Streams, home

SCALE = 0.01  # of the part that depends on the streams, at the start
LEAST = -0.3125  # of logits, below the largest, in units of the largest exponent: −40 in float32 and −320 in float64
OWN = 3.0  # logit of a stream's own, and −3 of the others', where a block starts with one stream


class MHC(Streams):
    """Manifold-constrained hyper-connections (Xie et al. 2025, arXiv 2512.24880).

    z = σ(p)ᵀX and X′ = S X + 2σ(q) F(z)ᵀ, where S is exp(R) made doubly stochastic (see `sinkhorn`). p, q and R are
    α·RMS(vec X)φ + b for each token. At the start α is 0.01, φ random, and b by `start`: `uniform` reads all streams
    alike, mixes them evenly and writes 1; `identity` reads the stream whose turn it is, and hardly mixes.
    """

    start: Literal["uniform", "identity"] = "uniform"
    iterations: Count = 20

    @nn.compact
    def coefficients(self, x: Float[Array, "B ... n D"], place: Place, train: bool) -> Mixing:
        """Those of each token: nD·(n² + 2n) + n² + 2n + 3 numbers are learned."""
        own = home(place, self.n) if self.start == "identity" else 0.5 * jnp.ones(self.n)
        inward = OWN * (2 * own - 1)
        mixing = OWN * (2 * jnp.eye(self.n) - 1).ravel() if self.start == "identity" else jnp.zeros(self.n**2)
        read, write, mix = logits(self, x, inward, mixing)
        mix = sinkhorn(mix.reshape(*mix.shape[:-1], self.n, self.n), self.iterations)
        return Mixing(*(each.astype(x.dtype) for each in (nn.sigmoid(read), mix, 2 * nn.sigmoid(write))))


class MHCLite(Streams):
    """As `MHC` with start `uniform`, but S is a weighted mean of all n! permutations (2026, arXiv 2601.05732).

    So it is doubly stochastic to rounding, without iterations.
    """

    n: Annotated[int, Range(1, 5)] = 4  # 5 have 120 permutations

    @nn.compact
    def coefficients(self, x: Float[Array, "B ... n D"], place: Place, train: bool) -> Mixing:
        """Those of each token: nD·(n! + 2n) + n! + 2n + 3 numbers are learned."""
        permutations = np.array([np.eye(self.n)[list(one)] for one in itertools.permutations(range(self.n))])  # n! n n
        read, write, weights = logits(self, x, jnp.zeros(self.n), jnp.zeros(math.factorial(self.n)))
        mix = jnp.einsum("...k,kst->...st", nn.softmax(weights), permutations.astype(weights.dtype))
        return Mixing(*(each.astype(x.dtype) for each in (nn.sigmoid(read), mix, 2 * nn.sigmoid(write))))


def logits(
    module: nn.Module, x: Float[Array, "B ... n D"], inward: Float[Array, " n"], mixing: Float[Array, " K"]
) -> tuple[Float[Array, "B ... n"], Float[Array, "B ... n"], Float[Array, "B ... K"]]:
    """α·RMS(vec X)φ + b of reading, writing and mixing, in float32 at the least; b starts as `inward`, 0 and `mixing`.

    Declares the module's parameters φ (`weights`, nD × (2n + K)), b (`bias`) and α (`scales`).
    """
    *batch, n, width = x.shape
    sizes = n, n, len(mixing)
    start = jnp.concatenate([inward, jnp.zeros(n), mixing])
    weights = module.param("weights", nn.initializers.lecun_normal(), (n * width, sum(sizes)), jnp.float32)
    bias = module.param("bias", lambda _: start.astype(jnp.float32))
    scales = module.param("scales", nn.initializers.constant(SCALE), (3,), jnp.float32)
    wide = x.reshape(*batch, -1).astype(jnp.promote_types(x.dtype, jnp.float32))
    lengths = jnp.sqrt((wide**2).mean(-1, keepdims=True) + EPSILON)
    found = jnp.repeat(scales, np.array(sizes), total_repeat_length=sum(sizes)) * (wide @ weights / lengths)
    read, write, mix = jnp.split(found + bias, np.cumsum(sizes)[:-1], axis=-1)
    return read, write, mix


def sinkhorn(logits: Float[Array, "... n n"], iterations: int) -> Float[Array, "... n n"]:
    """exp(logits), of which columns, then rows are divided by their sums, so many times (Sinkhorn & Knopp 1967).

    Rows sum to 1 to rounding; the columns carry the error.
    """
    logits = jnp.moveaxis(logits, (-2, -1), (0, 1))  # n n …: sums over few numbers are fast where many lie behind
    below = logits - jax.lax.stop_gradient(logits.max((0, 1), keepdims=True))
    least = LEAST * jnp.finfo(logits.dtype).maxexp  # so that sums stay numbers, and their squares, which slopes have
    start = jnp.exp(jnp.maximum(below, least))

    @jax.checkpoint  # a turn is sooner done again than its divisions stored
    def step(found, _):
        found = found / found.sum(0, keepdims=True)
        return found / found.sum(1, keepdims=True), None

    return jnp.moveaxis(jax.lax.scan(step, start, length=iterations)[0], (0, 1), (-2, -1))
