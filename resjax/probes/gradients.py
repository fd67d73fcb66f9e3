"""The way back: what becomes of the gradient on its way through the blocks.

Where the stream x parts, a fork sends it to the branch and to the connection and so meets, on the way
back, the two parts of ∂L/∂x = ∂L/∂y (1 + ∂F/∂x): past the branch and through it. What it
computes of them it returns as the "gradient" of a sink that nothing else reads. So the statistics of all
layers come out of one backward pass as one more gradient, and nothing of the size of the stream is kept.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from resjax.networks import Network
from resjax.probes.signals import cosine, exact, mean_square, signals
from resjax.stack import Layers


def fork(statistic: Callable) -> Callable:
    """A fork (see `Stack.apply`) whose sink's gradient is `statistic(direct, branch)`.

    direct and branch (B … D) are the parts of ∂L/∂x that come past the branch and through it. In a
    block whose two paths share norm and activation (`Branch.shared`), x is what is behind these.
    """

    @jax.custom_vjp
    def run(x, sink):
        return x, x

    def backward(_, gradients):
        branch, direct = gradients
        return branch + direct, statistic(direct, branch)

    run.defvjp(lambda x, sink: ((x, x), None), backward)
    return run


def gradients(direct, branch) -> dict[str, jax.Array]:
    """A statistic: mean square of ∂L/∂x, the direct path's share of the squares, the cosine of a pair's gradients."""
    past, through = mean_square(direct), mean_square(branch)
    whole = direct + branch
    return {
        "gradient_ms": mean_square(whole),
        "direct_share": past / (past + through),
        "gradient_cosine": cosine(whole),
    }


def parameter_gradient_norms(gradient) -> jax.Array:
    """The norm of the gradient towards each block's parameters, L, from that of `network.init`'s parameters."""
    norms = [
        jnp.sqrt(sum((leaf**2).sum(range(1, leaf.ndim)) for leaf in jax.tree.leaves(stage)))
        for stage in gradient["stages"]
    ]
    return jnp.concatenate(norms)


def readout(key) -> Callable:
    """A loss that needs no labels: the logits (B K) along random directions, one for each pair of inputs, summed.

    The inputs of a pair share it, so that their gradients differ by what the network does to them. All
    inputs must not: batch norm takes away what the gradients of a batch have in common.
    """

    def loss(logits):
        directions = jax.random.normal(key, (len(logits) // 2, logits.shape[-1]), logits.dtype)
        return (logits * jnp.concatenate([directions, directions])).sum()

    return loss


def read(network: Network, params, state, x, loss: Callable, *, key=None, train: bool = True) -> dict[str, Any]:
    """Every probe of signals and gradients at once: one forward and one backward pass.

    Args:
      network, params, state: the network, and as its `init` made them.
      x: inputs in pairs (see `signals`), B H W C.
      loss: logits (B K) -> a number.
      key: for networks that draw (dropout).
      train: normalise with the statistics of this batch.

    Returns:
      name -> values by block, L.
    """
    precision = jnp.promote_types(x.dtype, jnp.float32)
    one = jax.ShapeDtypeStruct((2, 1), precision)
    sink = jax.tree.map(lambda s: jnp.zeros((network.length, *s.shape), s.dtype), jax.eval_shape(gradients, one, one))

    def run(sink, params):
        layers = Layers(sink=sink, key=key)
        logits, _, seen = network.apply(params, state, x, layers, train=train, probe=signals, fork=fork(gradients))
        return loss(exact(logits)), seen

    (on_stream, on_params), seen = jax.grad(run, argnums=(0, 1), has_aux=True)(sink, params)
    return seen | on_stream | {"parameter_gradient_norm": parameter_gradient_norms(on_params)}
