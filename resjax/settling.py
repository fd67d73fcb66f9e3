"""Spectral norms that are bounds: σ̂ converged for the weights as they are, after training and before evaluation."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from resjax.network import Network
from resjax.nn.place import Place
from resjax.nn.spectral_norm import SETTLING
from resjax.stack import Stack


def needed(state: Any) -> bool:
    """Whether there are spectral norms in the state, as `Network.init` made it."""
    return any("spectral" in tree for stack in state["stages"] for tree in stack)


@functools.partial(jax.jit, static_argnames="network")
def settled(network: Network, params: Any, state: Any, x: Shaped[Array, "B ..."]) -> Any:
    """The state with every σ̂ converged, a function of the parameters alone; x is shaped like the inputs (B H W C)."""
    stages = []
    weights = zip(network.unrolled(params)["stages"], state["stages"], strict=True)
    x = jax.eval_shape(lambda x: network.run_stem(params, state, x), x)
    for stage in network.stages:
        if not isinstance(stage, Stack):
            x = jax.eval_shape(stage, x)
            continue
        own_params, own_state = next(weights)
        one = jnp.zeros((1, *x.shape[1:]), x.dtype)
        own = zip(stage.blocks, own_params, own_state, strict=True)
        stages.append(tuple(_settled(block, params, state, one) for block, params, state in own))
        x, _, _ = jax.eval_shape(stage.apply, own_params, own_state, x)
    return state | {"stages": stages}


def _settled(block, params, state, x):
    """The state of all blocks of a kind, L …; a σ̂ depends on no other block, and on x by its shape alone."""

    def one(params, state):
        options = {"train": False, "mutable": ["spectral"], "rngs": {SETTLING: jax.random.key(0)}}
        _, new_state = block.apply({"params": params, **state}, x, Place(1, 1), **options)
        return state | new_state

    return jax.vmap(one)(params, state)
