"""The way back: what becomes of the gradient on its way through the blocks (see `resjax.probes.forks`)."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from resjax.layers import Layers
from resjax.network import Network
from resjax.probes import blocks, forks, forward
from resjax.probes.forward import cosine, exact, mean_square
from resjax.random_streams import stream
from resjax.training import losses

GRADIENTS = "gradient_mean_square", "direct_share", "gradient_cosine", "parameter_gradient_norm"
Loss = Callable[[Float[Array, "B ... K"]], Float[Array, ""]]  # of the logits


def gradients(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    loss: Loss | Shaped[Array, "B ..."] | None = None,
    *,
    key: PRNGKeyArray | None = None,
    train: bool = True,
) -> pd.DataFrame:
    """A table of the way back, a row a block: the gradient of the loss towards the stream x before it.

    Of several streams, and of a memory, x is all of them: means are over all that the connection keeps.

    Columns: `block`, from 0; `gradient_mean_square`, of ∂L/∂x, in units of the loss²; `direct_share`, what of the
    squares comes past the branch, beside what comes through it; `gradient_cosine`, between the gradients of a pair
    of inputs, mean over the pairs (NaN for an odd batch); `parameter_gradient_norm`, ‖∂L/∂θ‖ of the block.

    Args:
      network, params, state: the network, and as its `init` made them.
      x: inputs, for the cosine in pairs: input b and input b + B/2.
      loss: outputs (B K, or B T K) -> a number; or targets, for the mean of `losses.loss`; None for a random
        `readout`.
      key: for the readout, by default that of seed 0; and for networks that draw (dropout).
      train: norms take the statistics of this batch, else the running ones; state is left as it is.
    """
    function = loss if callable(loss) else None
    labels = None if callable(loss) else loss
    return blocks.table(_gradients(network, params, state, x, labels, key, function, train), GRADIENTS)


@functools.partial(jax.jit, static_argnames=("network", "loss", "train"))
def _gradients(network: Network, params, state, x, labels, key, loss: Loss | None, train: bool):
    noise = None if key is None else stream(key, "noise")
    if labels is not None:
        loss = lambda logits: losses.loss(logits, labels).mean()  # noqa: E731
    elif loss is None:
        loss = readout(stream(jax.random.key(0) if key is None else key, "readout"))
    found = read(network, params, state, x, loss, key=noise, train=train)
    return {name: found[name] for name in GRADIENTS}


def statistics(direct: Float[Array, "B ..."], branch: Float[Array, "B ..."]) -> dict[str, Float[Array, ""]]:
    """A statistic: mean square of ∂L/∂x, the direct path's share of the squares, the cosine of a pair's gradients."""
    past = mean_square(direct)
    through = mean_square(branch)
    whole = direct + branch
    return {
        "gradient_mean_square": mean_square(whole),
        "direct_share": past / (past + through),
        "gradient_cosine": cosine(whole),
    }


def parameter_gradient_norms(network: Network, gradient: dict) -> Float[Array, " L"]:
    """The norm of the gradient towards each block's parameters, from that of `network.init`'s parameters."""
    norms = [
        stack.by_place(tuple(_norms(tree, stack.length // len(trees)) for tree in trees))
        for stack, trees in zip(network.stacks, gradient["stages"], strict=True)
    ]
    return jnp.concatenate(norms)


def _norms(tree, length: int):
    """Of every block of one kind."""
    leaves = jax.tree.leaves(tree)
    return jnp.sqrt(sum((leaf**2).sum(range(1, leaf.ndim)) for leaf in leaves)) if leaves else jnp.zeros(length)


def readout(key: PRNGKeyArray) -> Loss:
    """A loss that needs no labels: the outputs (B K or B T K) along random directions, one for each pair of inputs,
    and token, summed.

    The inputs of a pair share it, so that their gradients differ by what the network does to them. All
    inputs must not: batch norm takes away what the gradients of a batch have in common.
    """

    def loss(logits):
        directions = jax.random.normal(key, ((len(logits) + 1) // 2, *logits.shape[1:]), logits.dtype)
        return (logits * jnp.concatenate([directions, directions])[: len(logits)]).sum()

    return loss


def read(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    loss: Loss,
    *,
    key: PRNGKeyArray | None = None,
    train: bool = True,
) -> dict[str, Any]:
    """Every column of `signals` and `gradients` at once, L each: one forward and one backward pass.

    For the arguments see there. What is not used of it under `jax.jit` is not computed.
    """
    stream = jax.eval_shape(network.run_stem, params, state, x)  # whatever the inputs are, tokens for example
    precision = jnp.promote_types(stream.dtype, jnp.float32)
    one = jax.ShapeDtypeStruct((2, 1), precision)
    tap = jax.tree.map(lambda s: jnp.zeros((network.length, *s.shape), s.dtype), jax.eval_shape(statistics, one, one))
    fork = forks.measuring(statistics)

    def run(tap, params):
        layers = Layers(grad_tap=tap, key=key)
        logits, _, seen = network.apply(params, state, x, layers, train=train, probe=forward.statistics, fork=fork)
        return loss(exact(logits)), seen

    (on_stream, on_params), seen = jax.grad(run, argnums=(0, 1), has_aux=True)(tap, network.unrolled(params))
    return seen | on_stream | {"parameter_gradient_norm": parameter_gradient_norms(network, on_params)}
