"""The way forward: what becomes of a batch on its way through the blocks.

Cosines are between the two inputs of a pair: a batch is two halves, and input b of the first half and
input b of the second are a pair (see `pairs`).
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import pandas as pd
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from resjax.layers import BlockTrace, Layers
from resjax.network import Network
from resjax.nn.block import Block
from resjax.nn.wirings.streams import Streams
from resjax.probes import blocks

SIGNALS = (
    *("activation_mean_square", "branch_mean_square", "input_cosine", "token_cosine", "dead_fraction"),
    *("effective_rank", "attention_entropy"),
)


def signals(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    *,
    key: PRNGKeyArray | None = None,
    train: bool = True,
) -> pd.DataFrame:
    """A table of the way forward, a row a block: the stream x before it and its branch F(x), all without units.

    Columns: `block`, from 0; `activation_mean_square`, of x; `branch_mean_square`, of F(x), its scale counted in;
    `input_cosine`, between the streams of a pair of inputs, mean over the pairs (NaN for an odd batch); `token_cosine`,
    between two tokens, patches or pixels of an input, mean over their pairs, and over several streams (NaN for B D);
    `dead_fraction`, the share of the branch's units that are zero for all inputs (NaN without activations);
    `effective_rank`, of the streams of the batch (Roy & Vetterli 2007); `attention_entropy`, mean over tokens and
    heads, in nats (NaN without attention).

    Args:
      network, params, state: the network, and as its `init` made them.
      x: inputs, for the cosine in pairs: input b and input b + B/2.
      key: for networks that draw (dropout).
      train: norms take the statistics of this batch, else the running ones; state is left as it is.
    """
    return blocks.table(_signals(network, params, state, x, key, train), SIGNALS)


@functools.partial(jax.jit, static_argnames=("network", "train"))
def _signals(network: Network, params, state, x, key, train: bool):
    return network.apply(params, state, x, Layers(key=key), train=train, probe=statistics)[2]


def statistics(trace: BlockTrace) -> dict[str, Float[Array, ""]]:
    """A probe (see `Stack.apply`): the block's stream and branch in numbers, see `signals`."""
    block = getattr(trace.at, "block", None)
    x = block.connection.shown(trace.x, trace.at.place) if isinstance(block, Block) else trace.x
    streams = isinstance(block, Block) and isinstance(block.connection, Streams)  # B … n D
    precision = exact(x).dtype
    return {
        "activation_mean_square": mean_square(x),
        "branch_mean_square": mean_square(trace.f),
        "input_cosine": cosine(x),
        "token_cosine": jax.vmap(token_cosine, -2)(x).mean() if streams else token_cosine(x),
        "dead_fraction": jnp.asarray(dead_fraction(trace.activations), precision),
        "effective_rank": effective_rank(x),
        "attention_entropy": jnp.stack(trace.entropies).mean() if trace.entropies else jnp.full((), jnp.nan, precision),
    }


def token_pairs(key: PRNGKeyArray, count: int, tokens: int, vocabulary: int) -> Int[Array, "2*{count} {tokens}"]:
    """Sequences of tokens, each without repetition: two inputs of a pair are independent.

    Raises:
      ValueError: a vocabulary that has not so many.
    """
    if tokens > vocabulary:
        raise ValueError(f"{tokens} tokens: must be at most {vocabulary}, for they are different")
    keys = jax.random.split(key, 2 * count)
    return jax.vmap(lambda key: jax.random.permutation(key, vocabulary)[:tokens])(keys)


def pairs(
    key: PRNGKeyArray, count: int, shape: Sequence[int], cosine: float, dtype: DTypeLike = jnp.float32
) -> Float[Array, "2*{count} ..."]:
    """Gaussian directions in pairs at exactly this cosine, each of mean square 1: 2·count H W C.

    Raises:
      ValueError: inputs of one number, whose cosine is 1 or −1.
    """
    if math.prod(shape) < 2:
        raise ValueError(f"inputs of one number: the cosine of two is 1 or −1, not {cosine:g}")
    first, other = jax.random.normal(key, (2, count, *shape), dtype).reshape(2, count, -1)
    first = first / jnp.linalg.norm(first, axis=-1, keepdims=True)
    other = other - (first * other).sum(-1, keepdims=True) * first
    other = other / jnp.linalg.norm(other, axis=-1, keepdims=True)
    second = cosine * first + (1 - cosine**2) ** 0.5 * other
    return jnp.concatenate([first, second]).reshape(-1, *shape) * first.shape[-1] ** 0.5


def mean_square(x: Float[Array, "..."]) -> Float[Array, ""]:
    """The mean of x² over all its entries."""
    return (exact(x) ** 2).mean()


def cosine(x: Float[Array, "B ..."]) -> Float[Array, ""]:
    """The cosine between the two vectors of a pair, mean over the pairs that have no zero vector; NaN if B is odd."""
    if len(x) % 2:
        return jnp.asarray(jnp.nan, exact(x).dtype)
    first, second = exact(x).reshape(2, len(x) // 2, -1)
    lengths = jnp.linalg.norm(first, axis=-1) * jnp.linalg.norm(second, axis=-1)
    return jnp.mean((first * second).sum(-1) / lengths, where=lengths > 0)


def token_cosine(x: Float[Array, "B ... D"]) -> Float[Array, ""]:
    """The cosine between two different tokens of an input, mean over their pairs and the inputs; NaN for B D."""
    units = exact(x).reshape(len(x), -1, x.shape[-1])  # B T D
    tokens = units.shape[1]
    if tokens < 2:
        return jnp.full((), jnp.nan, units.dtype)
    lengths = jnp.linalg.norm(units, axis=-1, keepdims=True)
    units = units / jnp.where(lengths > 0, lengths, 1)  # dead ones, which are zero, are orthogonal to all
    own = (units**2).sum((1, 2))  # B
    together = (units.sum(1) ** 2).sum(-1)  # B: Σ over all pairs, and each with itself
    return ((together - own) / (tokens * (tokens - 1))).mean()


def effective_rank(x: Float[Array, "B ..."]) -> Float[Array, ""]:
    """exp of the entropy of the normalised singular values of x, B × all else (Roy & Vetterli 2007).

    1 where all inputs, or all units, are alike; NaN where x is zero.
    """
    values = jnp.linalg.svd(exact(x).reshape(len(x), -1), compute_uv=False)
    shares = values / values.sum()
    return jnp.exp(jax.scipy.special.entr(shares).sum())


def dead_fraction(activations: Sequence[Float[Array, "..."]]) -> Float[Array, ""] | float:
    """The share of units (channels) that are zero for every input of the batch; NaN without activations."""
    dead = [(a == 0).all(range(a.ndim - 1)).mean(dtype=exact(a).dtype) for a in activations]
    return sum(dead) / len(dead) if dead else jnp.nan


def exact(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x in float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


@functools.partial(jax.jit, static_argnums=(0, 3))
def started(network: Network, key: PRNGKeyArray, x: Shaped[Array, "..."], double: bool = False) -> tuple[dict, dict]:
    """Parameters and state of a network at its start, for inputs like x; in float64 if x is, or if it is asked for.

    In float64, signals that explode or vanish stay in range.
    """
    found = network.init(key, x)
    if not double and x.dtype != jnp.float64:
        return found
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if jnp.isdtype(leaf.dtype, "real floating") else leaf, found
    )
