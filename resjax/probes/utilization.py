"""How a network uses its depth: what each block adds to the stream, and what the blocks behind it make of that.

Csordás, Manning & Potts 2025 (arXiv 2505.13898), whose sublayers are blocks here.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import lax
from jaxtyping import Array, Float, Shaped

from resjax.layers import BlockTrace, Layers
from resjax.network import Network
from resjax.probes import blocks
from resjax.probes.forward import exact
from resjax.training import losses

USE = "contribution", "alignment", "influence", "skip_effect", "lens_loss"


def depth_use(
    network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."], targets: Shaped[Array, "B ..."]
) -> pd.DataFrame:
    """A table of what each block is good for, in evaluation, a row a block; means over tokens (pixels) and inputs.

    Columns: `block`, from 0; `contribution`, ‖y − y₀‖/‖y₀‖, where y is the stream behind the block and y₀ what it is
    without the branch: ‖f‖/‖x‖ where the block is x + f; `alignment`, cos(y − y₀, y₀), negative where it erases;
    `influence`, 1 − cos(x, y) of the stream before and behind the block (Men et al. 2024,
    arXiv 2403.03853); `skip_effect`, ‖f′ − f̃′‖/‖f′‖ of the later branches where this one is left out, mean over them,
    0 of the last; `lens_loss`, of the head on the stream behind the block (nostalgebraist 2020, the logit lens).

    Args:
      network, params, state: the network, and what training left.
      x, targets: a batch.

    Raises:
      ValueError: from `check`.
    """
    check(network)
    return blocks.table(_use(network, params, state, x, targets), USE)


def check(network: Network) -> None:
    """Raises ValueError: the stream changes its shape, or is a memory: branches behind a block cannot be compared."""
    blocks.refuse_memory(network, "which no branch's output can be compared with")
    if len(network.lengths) > 1 or any(network.transitions):
        raise ValueError("its stream changes its shape from stage to stage: use a network of one stage")


def depth_score(effects: Sequence[float] | Float[np.ndarray, " L"]) -> float:
    """Σ l·e_l / Σ e_l, l from 1: at which block the effects are in the mean; NaN where there is none."""
    weights = np.asarray(effects)
    number = np.arange(1, len(weights) + 1)
    return float(number @ weights / weights.sum()) if weights.sum() else math.nan


@functools.partial(jax.jit, static_argnames="network")
def _use(network: Network, params, state, x, targets) -> dict[str, Float[Array, " L"]]:
    def run(keep):
        return network.apply(params, state, x, Layers(keep=keep), probe=lambda trace: trace.f)[2]  # L B … D

    whole = run(jnp.ones(network.length, bool))
    number = jnp.arange(network.length)

    def effect(block):
        changed = lengths(run(number != block) - whole)  # L
        later = number > block
        shares = jnp.where(later, changed / lengths(whole), 0)
        return shares.sum() / jnp.maximum(later.sum(), 1)

    read = functools.partial(_read, network, params, state, targets)
    found: dict[str, Any] = network.apply(params, state, x, probe=read)[2]
    return found | {"skip_effect": lax.map(effect, number)}


def _read(network: Network, params, state, targets, trace: BlockTrace) -> dict[str, Float[Array, ""]]:
    at = trace.at
    unwritten = at.block.apply(at.variables, trace.x, at.place, keep=False, train=False)[0]
    x, y, without = (exact(at.block.connection.shown(each, at.place)) for each in (trace.x, trace.y, unwritten))
    added = y - without
    sizes = jnp.linalg.norm(added, axis=-1) / jnp.linalg.norm(without, axis=-1)
    outputs = network.run_head(params, state, trace.y)
    return {
        "contribution": sizes.mean(),
        "alignment": _cosines(added, without).mean(),
        "influence": 1 - _cosines(x, y).mean(),
        "lens_loss": losses.loss(exact(outputs), targets).mean(),
    }


def lengths(f: Float[Array, "L ..."]) -> Float[Array, " L"]:
    """The mean length of the vectors of every block."""
    return jnp.linalg.norm(exact(f), axis=-1).reshape(len(f), -1).mean(1)


def _cosines(a: Float[Array, "... D"], b: Float[Array, "... D"]) -> Float[Array, "..."]:
    """Of zero vectors 0."""
    size = jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)
    return (a * b).sum(-1) / jnp.where(size > 0, size, 1)
