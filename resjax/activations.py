"""Nonlinearities by the names that `jax.nn` gives them."""

import jax
import jax.numpy as jnp

from resjax import names


def crelu(x):
    """[ρ(x), ρ(−x)], … D -> … 2D (Shang et al. 2016, arXiv 1603.05201)."""
    return jax.nn.relu(jnp.concatenate([x, -x], axis=-1))


ACTIVATIONS = {
    name: getattr(jax.nn, name)
    for name in ("relu", "tanh", "gelu", "silu", "elu", "selu", "sigmoid", "softplus", "identity")
} | {"crelu": crelu}


def build(text: str):
    """The activation that `text` names: a function of arrays."""
    return names.build(text, "activation", {name: lambda f=f: f for name, f in ACTIVATIONS.items()})
