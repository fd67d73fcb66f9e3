"""From a point to what its probes say: a network made, fed with pairs of inputs, and read."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from resjax import architectures
from resjax.config import Probed
from resjax.errors import UserError
from resjax.networks import Network
from resjax.probes import gradients, signals

CLASSES = 10
WEIGHTS, INPUTS, READOUT, NOISE = range(4)  # what a seed's key is folded with, for each of its independent uses


def plan(point: Probed) -> Network:
    """The network to read, checked before anything is computed.

    Raises:
      UserError: a name, a depth or a size of the inputs that cannot be.
    """
    network = architectures.build(point, CLASSES)
    if len(point.inputs) != 3:
        raise UserError(f"--inputs={','.join(map(str, point.inputs))}: give height, width and channels, as in 8,8,1")
    architectures.check(point, network, point.inputs, "--inputs")
    return network


@functools.partial(jax.jit, static_argnums=0)
def start(network: Network, key, x):
    """Parameters and state of a network at its start, in float64 if x is."""
    started = network.init(key, x)
    if x.dtype != jnp.float64:
        return started
    return jax.tree.map(
        lambda leaf: leaf.astype(x.dtype) if jnp.isdtype(leaf.dtype, "real floating") else leaf, started
    )


def read(point: Probed, names: Sequence[str]) -> dict[str, list[float]]:
    """What the probes of signals and gradients say of the network at its start: name -> L values.

    What is not named (see `gradients.read`) is not computed.
    """
    with jax.enable_x64(point.x64):
        key = jax.random.key(point.seed)
        dtype = jnp.float64 if point.x64 else jnp.float32
        x = signals.pairs(jax.random.fold_in(key, INPUTS), point.pairs, point.inputs, point.cosine, dtype)
        network = plan(point)
        params, state = start(network, jax.random.fold_in(key, WEIGHTS), x)
        found = _read(network, tuple(names), params, state, x, key)
        return {name: values.tolist() for name, values in jax.device_get(found).items()}


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read(network, names, params, state, x, key):
    loss = gradients.readout(jax.random.fold_in(key, READOUT))
    found = gradients.read(network, params, state, x, loss, key=jax.random.fold_in(key, NOISE))
    return {name: found[name] for name in names}
