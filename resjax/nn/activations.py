"""Nonlinearities: any function of arrays will do, those of `jax.nn` above all. Here is what `jax.nn` lacks."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def crelu(x: Float[Array, "... D"]) -> Float[Array, "... 2*D"]:
    """[ρ(x), ρ(−x)], … D -> … 2D (Shang et al. 2016, arXiv 1603.05201)."""
    return jax.nn.relu(jnp.concatenate([x, -x], axis=-1))
