"""From a point to what its probes say: a network made, fed with pairs of inputs, and read."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from resjax.lab import registry
from resjax.lab.config import Probed
from resjax.network import Network
from resjax.probes import backward, forward
from resjax.random_streams import stream
from resjax.system.errors import UserError

CLASSES = 10


def plan(point: Probed) -> Network:
    """The network to read, checked before anything is computed.

    Raises:
      UserError: a name, a depth or a size of the inputs that cannot be.
    """
    network = registry.network(point, CLASSES)
    if len(point.inputs) != 3:
        raise UserError(f"--inputs={','.join(map(str, point.inputs))}: give height, width and channels, as in 8,8,1")
    registry.check(point, network, point.inputs, "--inputs")
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

    What is not named (see `backward.read`) is not computed.
    """
    with jax.enable_x64(point.x64):
        key = jax.random.key(point.seed)
        dtype = jnp.float64 if point.x64 else jnp.float32
        x = forward.pairs(stream(key, "inputs"), point.pairs, point.inputs, point.cosine, dtype)
        network = plan(point)
        params, state = start(network, stream(key, "weights"), x)
        found = _read(network, tuple(names), params, state, x, key)
        return {name: values.tolist() for name, values in jax.device_get(found).items()}


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read(network, names, params, state, x, key):
    loss = backward.readout(stream(key, "readout"))
    found = backward.read(network, params, state, x, loss, key=stream(key, "noise"))
    return {name: found[name] for name in names}
