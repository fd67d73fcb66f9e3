"""The blocks of a network without stem and head, in evaluation: what Jacobians, bounds and inverses are taken of."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Shaped

from resjax.layers import BlockAt, BlockTrace, Layers
from resjax.network import Network, SpaceToDepth
from resjax.nn.norms import NoNorm
from resjax.nn.wirings.memory import Memory
from resjax.nn.wirings.value_residual import ValueResidual
from resjax.stack import Stack


def before(network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."]) -> Float[Array, "B ... D"]:
    """The stream before the first block, of inputs x; in the precision of x, whatever the network's is.

    Of tokens, which have none, it is that of the weights.
    """
    stem: Any = network.stem
    if getattr(stem, "dtype", None):
        stem = stem.clone(dtype=None)
    return dataclasses.replace(network, stem=stem, dtype=None).run_stem(params, state, x)


def embedded(
    network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."]
) -> tuple[Network, Shaped[Array, "B ..."]]:
    """A network that takes the stem's output in the place of inputs that are tokens, and that output.

    Gradients towards tokens, which are integers, there are none. Other networks and inputs stay what they are.
    """
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return network, x
    output: Any = network.stem.apply({"params": params["stem"], **state["stem"]}, x, train=False)
    return dataclasses.replace(network, stem=NoNorm()), output


def run(
    network: Network,
    params: dict,
    state: dict,
    x: Float[Array, "B ... D"],
    probe: Callable[[BlockTrace], Any] | None = None,
) -> tuple[Float[Array, "B ..."], Any]:
    """The stream behind the last block, and what the probe says of each block, with a leading axis of L.

    Args:
      network, params, state: the network; norms use the running statistics in `state`.
      x: the stream before the first block.
      probe: `BlockTrace` -> any tree; its `at` is the block as a function of the stream.
    """
    y, _, seen = network.run_stages(params["stages"], state["stages"], x, _evaluation(network), probe=probe)
    return y, seen


def by_stage(network: Network, params: dict, state: dict) -> Iterator[tuple[Stack | SpaceToDepth, Any]]:
    """The stages, first to last; and for `Stack.scan` what `at` takes of each block, a tree a kind of block."""
    weights = zip(network.unrolled(params)["stages"], state["stages"], strict=True)
    scales = _evaluation(network).branch_scale
    first = 0
    for stage in network.stages:
        if not isinstance(stage, Stack):
            yield stage, None
            continue
        here = slice(first, first + stage.length)
        numbers = first + 1 + jnp.arange(stage.length)
        own = stage.by_kind((None if scales is None else scales[here], numbers))
        yield stage, tuple(zip(*next(weights), own, strict=True))
        first += stage.length


def at(network: Network, stage: Stack, block: nn.Module, own: Any) -> BlockAt:
    """A block of a stage as a function of the stream, from what `by_stage` has of it."""
    params, state, (scale, number) = own
    return BlockAt(block, {"params": params, **state}, stage.place(number, network.length), scale)


def check(network: Network) -> None:
    """Raises ValueError: a block is a `Transition`, or writes to a memory or a place of values: it has no inverse."""
    refuse_memory(network, "which has no inverse")
    if any(isinstance(block.connection, ValueResidual) for block in network.blocks if hasattr(block, "connection")):
        raise ValueError("connection ValueResidual: its blocks keep values beside the stream, which have no inverse")
    if any(network.transitions):
        block = network.transitions.index(True)
        raise ValueError(
            f"block {block} opens a stage, which cannot be inverted: use dense, or iresnet, whose stages are joined by "
            "squeezing"
        )


def refuse_memory(network: Network, why: str) -> None:
    """Raises ValueError, with this reason: the blocks write to a memory."""
    kinds = {type(block.connection) for block in network.blocks if hasattr(block, "connection")}
    for kind in kinds:
        if issubclass(kind, Memory):
            raise ValueError(f"connection {kind.__name__}: its blocks write to a memory, {why}; use one with streams")


def table(values: dict[str, Shaped[Array, " L"]], names: Sequence[str]) -> pd.DataFrame:
    """Values of these names by block as a table: a row a block, whose number from 0 is the column `block`."""
    found = jax.device_get(values)  # jit has sorted the names
    return pd.DataFrame({name: np.asarray(found[name]) for name in names}).rename_axis("block").reset_index()


def _evaluation(network: Network) -> Layers:
    return network.stochastic_depth.evaluation(Layers()) if network.stochastic_depth else Layers()
