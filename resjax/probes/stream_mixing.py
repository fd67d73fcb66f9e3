"""What several streams do with each other: what their mixing amounts to over depth, and who reads what of whom."""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pandas as pd
from jaxtyping import Array, Float, Shaped

from resjax.layers import BlockTrace
from resjax.network import NARROW, Network
from resjax.nn.wirings.memory import Memory
from resjax.nn.wirings.streams import Mixing, Streams
from resjax.probes import blocks

MIXED = "forward_gain", "backward_gain", "norm", "column_error", "stream_cosine", "largest_share"


class NoMixing(ValueError):
    """A network without streams that mix."""


class Mixings(NamedTuple):
    """What blocks read, mix and write with, for each of P tokens (or pixels) of all inputs."""

    read: Float[Array, "L P n"]
    mix: Float[Array, "L P n n"]
    write: Float[Array, "L P n"]


def mixing(network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."]) -> pd.DataFrame:
    """A table of what becomes of n streams, in evaluation, a row a block.

    Columns: `block`, from 0; of the product of all mixings up to and with this one, M_l ⋯ M_1, `forward_gain` and
    `backward_gain`, the largest absolute sums of a row and of a column (Xie et al. 2025, arXiv 2512.24880, section 3),
    and `norm`, ‖·‖₂; `column_error`, how far a column's sum of this block's own mixing is from 1: all four the largest
    over tokens and inputs. Of the streams before the block, in the mean over tokens and inputs, `stream_cosine`, the
    cosine between two of them, and `largest_share`, the longest one's share of their squared lengths. A stream that is
    zero is orthogonal to all; a token all of whose streams are has no share. One stream has no cosine: NaN.

    Raises:
      NoMixing: from `check`, or its streams do not mix.
    """
    check(network)
    return blocks.table(_mixed(network, params, state, x), MIXED)


@functools.partial(jax.jit, static_argnames="network")
def reads(network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."]) -> Float[Array, "K K"]:
    """How much of what a block has written another one reads, in the mean over tokens and inputs.

    Returns:
      K = L + 1: row l is what block l reads, from 0, and row L what the head gets; column 0 is of the stem's output,
      column k of block k − 1's. A residual network has ones wherever k ≤ l. Of a memory they are the weights of its
      entries: `DenseFormer` has whole streams there, and as the residual network the identity.

    Raises:
      ValueError: from `check`; of connections with a memory, groups of blocks that it keeps as one.
    """
    if isinstance(network.blocks[0].connection, Memory):
        return _remembered(network, params, state, x)
    check(network)
    found, _ = _mixings(network, params, state, x)
    length, tokens, n = found.read.shape

    def step(sources, own):  # sources: L+1 P n, how much of each is in each stream
        number, (read, mix, write) = own
        row = jnp.einsum("pn,kpn->k", read, sources) / tokens
        return jnp.einsum("pst,kpt->kps", mix, sources).at[number + 1].set(write), row

    start = jnp.zeros((length + 1, tokens, n), found.read.dtype).at[0].set(1)
    last, rows = jax.lax.scan(step, start, (jnp.arange(length), found))
    return jnp.concatenate([rows, last.mean((1, 2))[None]])


def _remembered(network: Network, params, state, x) -> Float[Array, "K K"]:
    """The weights of the memory's entries, those of the head's last."""

    def seen(trace: BlockTrace):
        method: Any = lambda block, x, place: block.connection.coefficients(x, place, False)  # noqa: E731
        c: Any = trace.at.block.apply(trace.at.variables, trace.x, trace.at.place, method=method)
        return _mean(c)

    connection = network.blocks[0].connection
    if not connection.appends:
        raise ValueError(f"connection {type(connection).__name__}: keeps groups of blocks as one; use blocks=0")
    memory, rows = blocks.run(network, params, state, network.run_stem(params, state, x), seen)
    place = network.stacks[-1].place(network.length + 1, network.length)
    own = {"params": params[NARROW]}
    last: Any = connection.apply(own, memory, place, False, method="coefficients")
    return jnp.concatenate([rows, _mean(last)[None]])


def _mean(weights: Float[Array, "... N"]) -> Float[Array, " N"]:
    return weights.reshape(-1, weights.shape[-1]).mean(0)


def check(network: Network) -> None:
    """Raises NoMixing: there is one stream, or the streams change their shape from stage to stage."""
    names = {type(block.connection).__name__ for block in network.blocks if not isinstance(block.connection, Streams)}
    if names:
        raise NoMixing(f"connection {', '.join(sorted(names))}: needs one with streams that a block mixes, as hyper")
    if any(network.transitions):
        raise NoMixing("its streams change their shape from stage to stage: use a network of one stage")


@functools.partial(jax.jit, static_argnames="network")
def _mixed(network: Network, params, state, x) -> dict[str, Float[Array, " L"]]:
    found, streams = _mixings(network, params, state, x)

    def step(product, mix):
        product = jnp.einsum("pst,ptu->psu", mix, product)
        sizes = abs(product).sum(-1).max(), abs(product).sum(-2).max(), jnp.linalg.norm(product, 2, (-2, -1)).max()
        return product, sizes

    start = jnp.broadcast_to(jnp.eye(found.mix.shape[-1], dtype=found.mix.dtype), found.mix.shape[1:])
    _, sizes = jax.lax.scan(step, start, found.mix)
    error = abs(found.mix.sum(-2) - 1).max((1, 2))
    return dict(zip(MIXED, (*sizes, error, *streams), strict=True))


def _mixings(network: Network, params, state, x) -> tuple[Mixings, tuple[Float[Array, " L"], Float[Array, " L"]]]:
    """What all blocks mix with, and cosines and shares of the streams before them."""

    def seen(trace: BlockTrace):
        streams = trace.x
        *tokens, n, _ = streams.shape
        method: Any = _coefficients
        c: Any = trace.at.block.apply(trace.at.variables, streams, trace.at.place, method=method)
        c = jax.tree.map(lambda numbers: numbers.astype(jnp.promote_types(numbers.dtype, jnp.float32)), c)
        read, write = (jnp.broadcast_to(each, (*tokens, n)).reshape(-1, n) for each in (c.read, c.write))
        mix = jnp.broadcast_to(c.mix, (*tokens, n, n)).reshape(-1, n, n)
        return Mixings(read, mix, write), (_cosine(streams), _largest(streams))

    return network.apply(params, state, x, probe=seen)[2]


def _coefficients(block, x, place) -> Mixing:
    """A block's, in evaluation."""
    c = block.connection.coefficients(x, place, False)
    if not isinstance(c, Mixing):
        raise NoMixing(f"connection {type(block.connection).__name__}: its streams do not mix")
    return c


def _cosine(x: Float[Array, "B ... n D"]) -> Float[Array, ""]:
    """Between two of the streams, mean over their pairs."""
    lengths = jnp.linalg.norm(x, axis=-1, keepdims=True)
    unit = x / jnp.where(lengths > 0, lengths, 1)
    pairs = list(itertools.combinations(range(x.shape[-2]), 2))
    return jnp.mean(jnp.array([(unit[..., one, :] * unit[..., other, :]).sum(-1).mean() for one, other in pairs]))


def _largest(x: Float[Array, "B ... n D"]) -> Float[Array, ""]:
    """The longest stream's share of the squared lengths."""
    squares = (x**2).sum(-1)  # B … n
    total = squares.sum(-1)
    return jnp.mean(squares.max(-1) / total, where=total > 0)
