"""What is seen of a network before any training: its signals block by block, and how its blocks stretch together."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, Shaped

from resjax.layers import Layers
from resjax.network import Network
from resjax.probes import backward, blocks, forward, lipschitz_bounds, total_jacobian
from resjax.random_streams import stream
from resjax.reporting.asked import SIGNALS

LANCZOS = 30  # steps for the chain, where its matrix would be large
TOKENS = 8  # of the input of the chain, at most
FEW = 10  # steps for a block's
PAIRS = 16
COSINE = 0.5  # between the two inputs of a pair


def inputs(key: PRNGKeyArray, one: jax.ShapeDtypeStruct, vocabulary: int) -> Shaped[jax.Array, "B ..."]:
    """Pairs of inputs like `one`: Gaussian ones at cosine ½ in float64; tokens, and single numbers, each by itself."""
    if jnp.issubdtype(one.dtype, jnp.integer):
        tokens = jax.random.randint(stream(key, "inputs"), (2 * PAIRS, *one.shape), 0, vocabulary)
        return tokens.astype(one.dtype)
    if math.prod(one.shape) < 2:
        return jax.random.normal(stream(key, "inputs"), (2 * PAIRS, *one.shape), jnp.float64)
    return forward.pairs(stream(key, "inputs"), PAIRS, one.shape, COSINE, jnp.float64)


def read(network: Network, one: jax.ShapeDtypeStruct, vocabulary: int, key: PRNGKeyArray) -> dict[str, Any]:
    """What a network is like at its start; computed in float64, where little leaves the range.

    Returns:
      A list of L numbers for each of `SIGNALS` (see `probes.signals`, `probes.gradients`), a block an entry. At one
      input: condition, that of the Jacobian of all blocks; and contracting, the share of the blocks whose F(x) is
      nowhere stretched, without which no inverse is certain (Behrmann et al. 2019); nan where blocks change the shape.

    Args:
      network: to be read.
      one: shape and type of an input.
      vocabulary: the number of tokens, if the inputs are tokens.
      key: of weights and inputs.
    """
    with jax.enable_x64(True):
        x = inputs(key, one, vocabulary)
        params, state = forward.started(network, stream(key, "weights"), x, True)
        found = jax.device_get(_signals(network, params, state, x, key))
        chain = _chain(network, params, state, x, key)
        return {name: np.asarray(values).tolist() for name, values in found.items()} | chain


@functools.partial(jax.jit, static_argnums=0)
def _signals(network: Network, params, state, x, key):
    loss = backward.readout(stream(key, "readout"))
    found = backward.read(network, params, state, x, loss, key=stream(key, "noise"))
    return {name: found[name] for name in SIGNALS}


def _chain(network: Network, params, state, x, key) -> dict[str, float]:
    """condition and contracting."""
    try:
        blocks.check(network)
    except ValueError:
        return {"condition": math.nan, "contracting": math.nan}
    values, lengths, size = jax.device_get(_stretching(network, params, state, x, key))
    known = np.isfinite(np.asarray(values)).any(axis=1).all()  # else a stream is no number
    condition = total_jacobian.spread(np.asarray(values), int(size))["condition"] if known else math.inf
    return {"condition": condition, "contracting": float((lengths < 1).mean())}


@functools.partial(jax.jit, static_argnums=0)
def _stretching(network: Network, params, state, x, key):
    one = x[:1, :TOKENS] if jnp.issubdtype(x.dtype, jnp.integer) else x[:1]
    before = blocks.before(network, params, state, one)
    settled = _settled(network, params, state, x, stream(key, "noise"))
    values, _ = total_jacobian.spectra(network, params, settled, before, key, LANCZOS)
    return values, lipschitz_bounds.lower(network, params, settled, before, key, FEW), before.size


def _settled(network: Network, params, state, x, key):
    """The state whose running statistics are those of this batch: where m·s + (1 − m)·b tends to, whatever m is."""
    first = network.apply(params, state, x, Layers(key=key), train=True)[1]
    second = network.apply(params, first, x, Layers(key=key), train=True)[1]

    def limit(a, b, c):  # Aitken's, which is exact for a geometric sequence
        if not jnp.issubdtype(a.dtype, jnp.inexact):
            return c
        moved = b - a
        left = jnp.where(moved == 0, 1, 1 - (c - b) / jnp.where(moved == 0, 1, moved))
        return a + moved / left

    return jax.tree.map(limit, state, first, second)
