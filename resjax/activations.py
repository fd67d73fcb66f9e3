"""Nonlinearities by the names that `jax.nn` gives them."""

import jax

from resjax import names

ACTIVATIONS = {
    name: getattr(jax.nn, name)
    for name in ("relu", "tanh", "gelu", "silu", "elu", "selu", "sigmoid", "softplus", "identity")
}


def build(text: str):
    """The activation that `text` names: an element-wise function."""
    return names.build(text, "activation", {name: lambda f=f: f for name, f in ACTIVATIONS.items()})
