"""From a trial to what its probes say: a network made, fed with pairs of inputs, and read."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from resjax.lab import building, registry
from resjax.lab.trial import Start, Variant
from resjax.network import Network
from resjax.probes import backward, forward, whiteness
from resjax.random_streams import stream
from resjax.system.errors import UserError
from resjax.training.compilation import jit_unoptimized

CLASSES = 10
VOCABULARY = 256


def plan(trial: Start) -> Network:
    """The network to read, checked before anything is computed.

    Raises:
      UserError: a name, a depth or a size of the inputs that cannot be.
    """
    if of_tokens(trial):
        network = building.network(trial, VOCABULARY, pooled=False)
        if len(trial.inputs) != 1 or trial.inputs[0] > VOCABULARY:
            given = ",".join(map(str, trial.inputs))
            raise UserError(f"--inputs={given}: give the number of tokens, at most {VOCABULARY}, as in 64")
        building.check(trial, network, trial.inputs, "--inputs", jnp.int32)
        return network
    network = building.network(trial, CLASSES)
    if len(trial.inputs) != 3:
        raise UserError(f"--inputs={','.join(map(str, trial.inputs))}: give height, width and channels, as in 8,8,1")
    building.check(trial, network, trial.inputs, "--inputs")
    return network


def of_tokens(trial: Variant) -> bool:
    """Whether the inputs of its network are tokens."""
    return getattr(registry.family(trial.network), "of_tokens", False)


def read(trial: Start, names: Sequence[str]) -> dict[str, list[float]]:
    """What the probes of signals and gradients say of the network at its start: name -> L values.

    What is not named (see `backward.read`) is not computed.
    """
    with jax.enable_x64(trial.x64):
        key = jax.random.key(trial.seed)
        dtype = jnp.float64 if trial.x64 else jnp.float32
        if of_tokens(trial):
            x = forward.token_pairs(stream(key, "inputs"), trial.pairs, trial.inputs[0], VOCABULARY)
        else:
            x = forward.pairs(stream(key, "inputs"), trial.pairs, trial.inputs, trial.cosine, dtype)
        network = plan(trial)
        params, state = forward.started(network, stream(key, "weights"), x, trial.x64)
        found = _read(network, tuple(names), params, state, x, key)
        return {name: values.tolist() for name, values in jax.device_get(found).items()}


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read(network: Network, names: tuple[str, ...], params, state, x, key) -> dict[str, Any]:
    loss = backward.readout(stream(key, "readout"))
    found = backward.read(network, params, state, x, loss, key=stream(key, "noise"))
    return {name: found[name] for name in names}


def settled(trial: Variant, network: Network, params: dict, state: dict, images: jax.Array) -> dict:
    """The state whose running statistics are those of these images (B H W C), for norms that have some."""
    key = stream(jax.random.key(trial.seed), "noise")  # for networks that draw
    twin = building.of_last_batch(trial, network)
    return jit_unoptimized(whiteness.settled, 0)(twin, params, state, images, key)
