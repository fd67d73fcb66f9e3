"""What a network costs: parameters and floating-point operations."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Shaped

from resjax.network import Network, SpaceToDepth
from resjax.system import platform


def parameter_count(params: Any) -> int:
    """The number of trained numbers in a tree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def forward_flops(network: Network, x: Shaped[Array | np.ndarray | jax.ShapeDtypeStruct, "B ..."]) -> float:
    """Floating-point operations of a forward pass of inputs shaped like x (B H W C for images).

    Counted by XLA, block by block, since it counts a loop once; and as of a CPU, since it does not count for others.

    Raises:
      UserError: JAX_PLATFORMS leaves out the CPU.
    """
    cpu = platform.cpu()
    params, state = jax.eval_shape(network.init, jax.random.key(0), x)

    def count(module, own_params, own_state, x, *place):
        run = lambda variables, x: module.apply(variables, x, *place, train=False)  # noqa: E731 (a place is no argument)
        with jax.default_device(cpu):
            lowered = jax.jit(run).lower({"params": own_params, **own_state}, x)
            costs: Any = lowered.cost_analysis()
        shape = jax.tree.leaves(lowered.out_info)[0]  # of a block, the stream and F(x)
        return costs["flops"], jax.ShapeDtypeStruct(shape.shape, shape.dtype)

    total, x = count(network.stem, params["stem"], state["stem"], x)
    x = jax.eval_shape(network.widen, x)
    weights = zip(params["stages"], state["stages"], strict=True)
    for stage in network.stages:
        if isinstance(stage, SpaceToDepth):
            x = jax.eval_shape(stage, x)
            continue
        for block, *stacked in zip(stage.blocks, *next(weights), strict=True):
            one = jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), stacked)
            flops, x = count(block, *one, x, stage.place(1, network.length))
            total += stage.length // len(stage.blocks) * flops
    x = jax.eval_shape(network.narrow, params, x)
    flops, _ = count(network.head, network.head_params(params), state["head"], x)
    return total + flops
