"""Weight initialisers by name: JAX's own, and those that depend on where a layer stands.

`normal(stddev=0.02)` and `constant(value=0.1)` take their argument from the command line.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.nn import initializers

from resjax import names


class Place(NamedTuple):
    """Where a layer of weights stands in its network."""

    role: str = "stem"  # stem, branch, shortcut or head
    layer: int = 0  # in its branch, of so many `layers`
    layers: int = 1
    length: int = 1  # L, blocks in the whole network


def zeros():
    """All weights zero; `jax.nn.initializers.zeros` is the initialiser itself, not a factory."""
    return initializers.zeros


def delta_orthogonal(scale: float = 1.0):
    """An orthogonal matrix in the middle of the kernel, zero around it (Xiao et al. 2018, arXiv 1806.05393).

    For dense layers it is `orthogonal`. JAX's own refuses those and layers that narrow the stream.
    """
    orthogonal = initializers.orthogonal(scale)

    def initialize(key, shape, dtype=jnp.float32):
        *kernel, inputs, features = shape
        middle = tuple((size - 1) // 2 for size in kernel)
        return jnp.zeros(shape, dtype).at[middle].set(orthogonal(key, (inputs, features), dtype))

    return initialize


class LooksLinear:
    """Weights [W′, −W′] under the activation `crelu`: W′[ρ(x) − ρ(−x)] = W′x, with W′ (delta-)orthogonal.

    The network is linear at the start, and its gradients cannot shatter (Balduzzi et al. 2017,
    arXiv 1702.08591, section 4).
    """

    def at(self, place: Place):
        """The stem's input has not been through the activation and is not mirrored."""
        orthogonal = delta_orthogonal()
        if place.role == "stem":
            return orthogonal

        def mirrored(key, shape, dtype=jnp.float32):
            *kernel, inputs, features = shape
            half = orthogonal(key, (*kernel, inputs // 2, features), dtype)
            return jnp.concatenate([half, -half], axis=-2)

        return mirrored


class Fixup:
    """Fixup (Zhang et al. 2019, arXiv 1901.09321), for residual networks without normalisation.

    The last layer of a branch of m layers and the classifier start at zero, a branch's other layers
    at L^(−1/(2m − 2)) times He's. The paper's multiplier is the connection `rezero(alpha=1)`; its
    scalar biases are the dense layers' own (convolutions have none here).
    """

    def at(self, place: Place):
        """What a layer starts as."""
        if place.role == "head" or (place.role == "branch" and place.layer == place.layers - 1):
            return initializers.zeros
        if place.role == "branch":  # variance, hence twice the exponent
            return initializers.variance_scaling(2 * place.length ** (-1 / (place.layers - 1)), "fan_in", "normal")
        return initializers.he_normal()


INITIALIZERS = {
    name: getattr(initializers, name)
    for name in (
        "he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "glorot_normal", "glorot_uniform",
        "lecun_normal", "lecun_uniform", "orthogonal", "normal", "constant",
    )
} | {
    "zeros": zeros,
    # JAX's, with the usual case as default: scale is σ_w², the variance of a weight times its fan-in
    "variance_scaling": lambda scale=1.0, mode="fan_in", distribution="normal": initializers.variance_scaling(
        scale, mode, distribution
    ),
    "delta_orthogonal": delta_orthogonal,
    "looks_linear": LooksLinear,
    "fixup": Fixup,
}  # fmt: skip


def build(text: str, place: Place):
    """The initialiser that `text` names: a function (key, shape, dtype) -> array."""
    made = names.build(text, "initializer", INITIALIZERS)
    return made.at(place) if hasattr(made, "at") else made
