"""Every probe on every connection: numbers for all blocks, or one line that says why not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from helpers import double

from resjax import models, nn, probes, stochastic_depth, transformers
from resjax.lab import registry
from resjax.layers import Layers
from resjax.probes import total_jacobian

KEY = jax.random.key(0)
LENGTH = 4
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 2, 1)))
TOKENS = jnp.asarray(np.random.default_rng(1).integers(0, 7, (4, 3)))


def permuted(network, params, state, x, targets):
    """The outputs with two blocks in each other's places."""
    return network.apply(params, state, x, Layers(order=jnp.array([2, 1, 0, 3])))[0]


def read(table, network, params, state, x, targets):
    """A table of the way forward or back, of networks that may draw."""
    return table(network, params, state, x, key=KEY)


def dropped(network, params, state, x, targets):
    """The gradient of a step in which blocks are dropped, each example its own."""
    depth = stochastic_depth.of([0.5] * LENGTH, (LENGTH,), "sample", "inverted")
    layers = depth.training(Layers(gates=jax.random.key(2), key=KEY), (LENGTH,), len(x))

    def loss(params):
        return (network.apply(params, state, x, layers, train=True)[0] ** 2).sum()

    return jax.tree.leaves(jax.grad(loss)(params))


def whole(network, params, state, x, targets):
    """The singular values of all blocks together."""
    return total_jacobian.stretching(network, params, state, x, KEY)[0]


PROBES = {
    "signals": functools.partial(read, probes.signals),
    "gradients": functools.partial(read, probes.gradients),
    "lesions": probes.lesions,
    "order": permuted,
    "stochastic depth": dropped,
    "paths": lambda *args: probes.paths(*args, KEY, samples=2),
    "jacobian": lambda network, params, state, x, targets: probes.jacobian(network, params, state, x),
    "total jacobian": whole,
    "inverse": lambda network, params, state, x, targets: probes.inverse(network, params, state, x),
    "lipschitz": lambda network, params, state, x, targets: probes.lipschitz(network, params, state, x),
    "landscape": lambda *args: probes.landscape(*args, KEY, resolution=3),
    "hessian": lambda *args: probes.hessian(*args, steps=3),
    "use": probes.depth_use,
    "mixing": lambda network, params, state, x, targets: probes.mixing(network, params, state, x),
    "reads": lambda network, params, state, x, targets: probes.reads(network, params, state, x),
}
MEMORIES = {"attention_residual", "attention_residual(blocks=0)", "dense_former"}
STREAMS = {"hyper", "hyper(dynamic=True)", "mhc", "mhc_lite", "gated_streams"}
NAMES = sorted(registry.CONNECTIONS.keys() | MEMORIES | STREAMS)
SAID = {  # of which connections a probe says why it cannot
    "stochastic depth": {"delta"},
    "inverse": MEMORIES | {"value_residual"},
    "lipschitz": MEMORIES | {"value_residual"},
    "use": MEMORIES,
    "mixing": set(NAMES) - STREAMS | {"gated_streams"},  # which do not mix
    "reads": set(NAMES) - STREAMS - {"attention_residual(blocks=0)", "dense_former"} | {"gated_streams"},
}

SOMETIMES = "token_cosine", "dead_fraction", "attention_entropy"  # of tokens, activations and attention


def made(name):
    """A small network, parameters, state, and a batch with its targets."""
    connection = registry.connection(name)
    if name == "value_residual":
        network = transformers.transformer(10, width=4, heads=2, vocabulary=7, connection=connection)
        x, targets = TOKENS, TOKENS
    else:
        network = models.dense(10, width=4, classes=3, connection=connection, norm=nn.LayerNorm())
        x, targets = IMAGES, jnp.arange(4) % 3
    return network, *double(jax.jit(network.init)(KEY, x)), x, targets


def numbers(found):
    """All numbers of what a probe gives; of a table those of columns that every block has."""
    if isinstance(found, pd.DataFrame):
        found = found.drop(columns=["block", "kind", *SOMETIMES], errors="ignore").to_numpy(float)
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_probe_reads_it_or_says_why_not(name):
    given = made(name)
    for probe, run in PROBES.items():
        try:
            found = run(*given)
        except ValueError as error:
            assert name in SAID.get(probe, ()), f"{probe}: {error}"
            assert str(error).startswith("connection ") and "\n" not in str(error), f"{probe}: {error}"
        else:
            assert name not in SAID.get(probe, ()), probe
            assert not np.isnan(numbers(found)).any(), f"{probe}: {found}"
