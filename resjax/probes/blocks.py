"""Blocks one by one, as functions of the stream, in evaluation: what Jacobians, bounds and inverses are taken of."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from resjax.errors import UserError
from resjax.networks import Network
from resjax.squeezing import squeeze
from resjax.stack import Block, Layers, Stack

Variables = tuple[Any, jax.Array]  # of a block: parameters and state, and the rate evaluation has for its branch


def check(network: Network):
    """Raises UserError: a block changes the shape of the stream, so that it has no inverse and no square Jacobian."""
    if any(network.changes_shape):
        block = network.changes_shape.index(True)
        raise UserError(
            f"block {block} changes the shape of the stream, which cannot be inverted: use --network=dense, or "
            "--network=iresnet, whose stages are joined by squeezing"
        )


def apply(block: Block, variables: Variables, x):
    """The stream behind a block, B … D."""
    weights, rate = variables
    return block.apply(weights, x, rate, train=False)[0]


def by_stack(network: Network, params, state) -> Iterator[tuple[Stack, Variables]]:
    """The stacks and the variables of their blocks, with a leading axis of L."""
    layers, first = Layers(rate=jnp.ones(network.length)), 0
    if network.stochastic_depth:
        layers = network.stochastic_depth.evaluation(layers)
    for stack, own, own_state in zip(network.stages, params["stages"], state["stages"], strict=True):
        yield stack, ({"params": own, **own_state}, layers.rate[first : first + stack.length])
        first += stack.length


def each(network: Network, params, state, x, measure: Callable):
    """`measure(block, variables, x)` of every block of a network whose blocks keep the shape of the stream.

    Args:
      network, params, state: the network; norms use the running statistics in `state`.
      x: B … D, the stream before the first block.
      measure: gives a tree of arrays.

    Returns:
      The stream behind the last block, and the trees with a leading axis of L.
    """
    found = []
    for stack, variables in by_stack(network, params, state):

        def body(x, variables, block=stack.block):
            return apply(block, variables, x), measure(block, variables, x)

        x, values = lax.scan(body, squeeze(x, stack.squeeze), variables)
        found.append(values)
    return x, jax.tree.map(lambda *stacks: jnp.concatenate(stacks), *found)
