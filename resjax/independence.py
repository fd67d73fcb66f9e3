"""Whether the examples of a batch stay apart, as an evaluation of any batch size needs."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from resjax.network import Network
from resjax.nn.place import Place
from resjax.stack import Stack

BATCH = 3
TOLERANCE = 1e-3  # relative: what the order of sums may change in float32


def check(network: Network, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> None:
    """Refuses a network with a block of the user's own in which one example depends on another, in evaluation.

    Args:
      network: whatever of it is resjax's own is trusted.
      shape: of an input, H W C for images.
      dtype: of the inputs; integers are tokens.

    Raises:
      ValueError: there is such a block. Whatever else a block raises passes, as for a stream of a wrong shape.
    """
    _check(network, tuple(shape), jnp.dtype(dtype))


@functools.lru_cache  # a network is often trained again, at another rate
def _check(network: Network, shape: tuple[int, ...], dtype: jnp.dtype) -> None:
    x = jax.ShapeDtypeStruct((BATCH, *shape), dtype)
    params, state = jax.eval_shape(network.init, jax.random.key(0), x)
    x = jax.eval_shape(network.run_stem, params, state, x)
    weights = zip(params["stages"], state["stages"], strict=True)
    for stage in network.stages:
        if not isinstance(stage, Stack):
            x = jax.eval_shape(stage, x)
            continue
        for block in stage.blocks:
            if _foreign(block) and _mixes(block, x.shape, x.dtype):
                raise ValueError(
                    f"{_foreign(block)} makes one example of a batch depend on another in evaluation: it gets a batch "
                    f"{_shape(x.shape)}, whose first axis it must not mix"
                )
        x, _, _ = jax.eval_shape(stage.apply, *next(weights), x)


def _foreign(module: nn.Module) -> str:
    """The name of a module, in this one or itself, that is not resjax's own; empty if there is none."""
    if not type(module).__module__.startswith("resjax."):
        return type(module).__name__
    inside = (getattr(module, name, None) for name in module.__dataclass_fields__ if name != "parent")
    return next((name for part in inside if isinstance(part, nn.Module) and (name := _foreign(part))), "")


@functools.cache
def _mixes(block: nn.Module, shape: tuple[int, ...], dtype: jnp.dtype) -> bool:
    """Whether the first example's stream, or its F(x), changes with those of the others."""

    @jax.jit
    def run(x, others):
        variables = block.init(jax.random.key(0), x, Place(1, 1), train=False)
        both = x, x.at[1:].set(others)
        return [block.apply(variables, batch, Place(1, 1), train=False) for batch in both]

    x, others = jax.random.normal(jax.random.key(1), (2, *shape)).astype(dtype)
    one, other = jax.tree.map(lambda leaf: np.asarray(leaf[0], np.float64), run(x, others[1:]))
    return not all(_close(a, b) for a, b in zip(one, other, strict=True))


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays agree; where one is no number, both are: that a block gives none is found in training."""
    finite = np.abs(a[np.isfinite(a)])
    return np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * finite.max(initial=0), equal_nan=True)


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
