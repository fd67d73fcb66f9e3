"""Stochastic depth: blocks that training leaves out at random (Huang et al. 2016, arXiv 1603.09382).

A dropped block has a gradient of exactly zero and leaves its branch's batch statistics alone. Its weights still
move by the momentum they have, and weight decay still shrinks them, as in the paper's code.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Real

from resjax.layers import Layers
from resjax.nn.arguments import Checked, checked
from resjax.nn.kinds import Probability


@checked
def linear(lengths: Sequence[int], last: Probability = 0.5) -> Real[np.ndarray, " L"]:
    """p_l = 1 − (l/L)(1 − p_L) for l = 1 … L, through all stages of these lengths (Huang et al. 2016, eq. 4): L."""
    length = sum(lengths)
    return 1 - np.arange(1, length + 1) / length * (1 - last)


@checked
def uniform(lengths: Sequence[int], p: Probability = 0.5) -> Real[np.ndarray, " L"]:
    """The same in all blocks: L."""
    return np.full(sum(lengths), p)


@checked
def stage(lengths: Sequence[int], number: int = 1, p: Probability = 0.5) -> Real[np.ndarray, " L"]:
    """p in the blocks of one stage, counted from 1; the others always survive: L.

    Raises:
      ValueError: there is no such stage.
    """
    if number not in range(1, len(lengths) + 1):
        raise ValueError(f"number={number}: the network has stages 1 to {len(lengths)}")
    return np.concatenate([np.full(length, p if at == number else 1.0) for at, length in enumerate(lengths, 1)])


@dataclasses.dataclass(frozen=True)
class StochasticDepth(Checked):
    """Which blocks survive a step, and how what they add is scaled.

    Modes: `batch`, a gate a block for the whole batch (what it closes is not computed); `sample`, a
    gate for each example (all is computed); `subset`, a random part of the batch goes through the
    branch, p of it as near as whole examples come: that of a stack's first block in all of the stack.
    """

    survival: tuple[Probability, ...]  # p by block, L
    mode: Literal["batch", "sample", "subset"] = "batch"
    scaling: Literal["test", "inverted"] = "test"  # F(x) times p in evaluation, or `inverted`: over p in training

    def evaluation(self, layers: Layers) -> Layers:
        """What evaluation runs with: every block, its branch times p."""
        if self.scaling == "inverted":
            return layers
        return layers._replace(branch_scale=_times(layers.branch_scale, jnp.asarray(self.survival)))

    def training(self, layers: Layers, lengths: Sequence[int], batch: int) -> Layers:
        """What a step runs with, drawn from `layers.gates`, for stacks of these lengths and so large a batch."""
        gates = layers.gates
        assert gates is not None, "a step of stochastic depth needs `layers.gates`"
        p = jnp.asarray(self.survival)
        if self.mode == "subset":
            firsts = np.cumsum([0, *lengths[:-1]])
            sizes = [max(1, round(batch * self.survival[first])) for first in firsts]
            keys = jax.random.split(gates, len(p))
            orders = jax.vmap(lambda key: jax.random.permutation(key, batch))(keys)  # L B
            parts = zip(firsts, lengths, sizes, strict=True)
            layers = layers._replace(rows=tuple(orders[first : first + n, :size] for first, n, size in parts))
            p = jnp.repeat(jnp.asarray(sizes) / batch, jnp.asarray(lengths), total_repeat_length=len(p))
        elif self.mode == "sample":
            layers = layers._replace(keep=jax.random.bernoulli(gates, p[:, None], (len(p), batch)))
        else:
            layers = layers._replace(keep=jax.random.bernoulli(gates, p))
        return (
            layers._replace(branch_scale=_times(layers.branch_scale, 1 / p)) if self.scaling == "inverted" else layers
        )


def _times(scale, factor):
    return factor if scale is None else scale * factor


def of(
    survival: Sequence[float] | Real[np.ndarray, " L"],
    lengths: Sequence[int],
    mode: str = "batch",
    scaling: str = "test",
) -> StochasticDepth | None:
    """Stochastic depth with these probabilities, L, for stages of these lengths; None where all blocks always survive.

    In mode `subset` p is the stage's mean, since one program runs all of its blocks, with one size of subset.

    Raises:
      ValueError: the probabilities are not L numbers in (0, 1].
    """
    p = np.asarray(survival, np.float64)
    if p.shape != (sum(lengths),):
        raise ValueError(f"gives {p.size} probabilities for {sum(lengths)} blocks")
    if not ((p > 0) & (p <= 1)).all():
        raise ValueError(f"probability {p[~((p > 0) & (p <= 1))][0]:g} is not in (0, 1]")
    if (p == 1).all():
        return None
    if mode == "subset":
        p = np.concatenate([np.full(len(part), part.mean()) for part in np.split(p, np.cumsum(lengths)[:-1])])
    return StochasticDepth(tuple(p.tolist()), mode, scaling)  # type: ignore[arg-type]  # which it checks
