"""Initialisers: JAX's own, and those that depend on where a layer stands.

An initialiser is a function (key, shape, dtype) -> array, as in `jax.nn.initializers`, or an object whose `at(site)`
gives one. The factories here return one object for equal arguments, so that equal networks compile once.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import initializers

from resjax.nn.arguments import checked
from resjax.nn.kinds import Axis, NotNegative
from resjax.nn.place import Place

Initializer = Any  # a function (key, shape, dtype) -> array, or an object with `at`
Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["normal", "truncated_normal", "uniform"]


class Site(NamedTuple):
    """Where a layer of weights stands in its network."""

    role: str = "stem"  # stem, branch, shortcut or head; attention of its queries and keys
    layer: int = 0  # in its branch, of so many `layers`
    layers: int = 1
    place: Place | None = None  # of its block; None in stem and head


def at(initializer: Initializer, site: Site) -> Callable[..., jax.Array]:
    """The function (key, shape, dtype) -> array that an initialiser is at this site."""
    return initializer.at(site) if hasattr(initializer, "at") else initializer


he_normal = functools.cache(initializers.he_normal)
he_uniform = functools.cache(initializers.he_uniform)
xavier_normal = functools.cache(initializers.xavier_normal)
xavier_uniform = functools.cache(initializers.xavier_uniform)
glorot_normal = functools.cache(initializers.glorot_normal)
glorot_uniform = functools.cache(initializers.glorot_uniform)
lecun_normal = functools.cache(initializers.lecun_normal)
lecun_uniform = functools.cache(initializers.lecun_uniform)


@checked
@functools.cache
def normal(stddev: NotNegative = 0.01) -> Initializer:
    """Gaussian, whatever the fan-in."""
    return initializers.normal(stddev)


@checked
@functools.cache
def constant(value: float) -> Initializer:
    """The same everywhere."""
    return initializers.constant(value)


@checked
@functools.cache
def orthogonal(scale: float = 1.0, column_axis: Axis = -1) -> Initializer:
    """JAX's, one matrix after the other.

    With jaxlib 0.10 two batched QR factorisations that run side by side may wait for each other for ever, on 2 cores.
    """
    usual = initializers.orthogonal(scale, column_axis)

    def initialize(key, shape, dtype=jnp.float32):
        return jax.custom_batching.sequential_vmap(lambda key: usual(key, shape, dtype))(key)

    return initialize


def zeros() -> Initializer:
    """All weights zero; `jax.nn.initializers.zeros` is the initialiser itself, not a factory."""
    return initializers.zeros


@checked
@functools.cache
def variance_scaling(
    scale: NotNegative = 1.0, mode: Mode = "fan_in", distribution: Distribution = "normal"
) -> Initializer:
    """JAX's, with the usual case as default: scale is σ_w², the variance of a weight times its fan-in."""
    return initializers.variance_scaling(scale, mode, distribution)


@checked
@functools.cache
def torch_resnet(mode: Mode = "fan_out") -> Initializer:
    """The start of the papers' ResNets, whose code is Torch's: convolutions of variance 2/fan, Gaussian.

    fan_out, kernel² · features, is that of He et al. 2016 (resnet-1k-layers) and of Zagoruyko & Komodakis 2016
    (wide-residual-networks), fan_in that of Huang et al. 2016 (Stochastic_Depth). Dense layers start as Torch's
    `nn.Linear` does, uniform in ±1/√fan_in: by fan-out the weights of a few classes would be too large.
    """
    convolution = variance_scaling(2.0, mode)
    linear = variance_scaling(1 / 3, "fan_in", "uniform")

    def initialize(key, shape, dtype=jnp.float32):
        layer = linear if len(shape) == 2 else convolution
        return layer(key, shape, dtype)

    return initialize


@checked
@functools.cache
def delta_orthogonal(scale: float = 1.0) -> Initializer:
    """An orthogonal matrix in the middle of the kernel, zero around it (Xiao et al. 2018, arXiv 1806.05393).

    For dense layers it is `orthogonal`. JAX's own refuses those and layers that narrow the stream.
    """
    matrix = orthogonal(scale)

    def initialize(key, shape, dtype=jnp.float32):
        *kernel, inputs, features = shape
        middle = tuple((size - 1) // 2 for size in kernel)
        return jnp.zeros(shape, dtype).at[middle].set(matrix(key, (inputs, features), dtype))

    return initialize


@dataclasses.dataclass(frozen=True)
class LooksLinear:
    """Weights [W′, −W′] under the activation `crelu`: W′[ρ(x) − ρ(−x)] = W′x, with W′ (delta-)orthogonal.

    The network is linear at the start, and its gradients cannot shatter (Balduzzi et al. 2017,
    arXiv 1702.08591, section 4).
    """

    def at(self, site: Site) -> Callable[..., jax.Array]:
        """The stem's input has not been through the activation and is not mirrored."""
        matrix = delta_orthogonal()
        if site.role == "stem":
            return matrix

        def mirrored(key, shape, dtype=jnp.float32):
            *kernel, inputs, features = shape
            half = matrix(key, (*kernel, inputs // 2, features), dtype)
            return jnp.concatenate([half, -half], axis=-2)

        return mirrored


@dataclasses.dataclass(frozen=True)
class Gained:
    """Another initialiser, whose weights in branches are factor · L^(−power) times as large; not queries and keys."""

    inner: Initializer
    factor: float
    power: float

    def at(self, site: Site) -> Callable[..., jax.Array]:
        """What a layer starts as."""
        usual = at(self.inner, site)
        if site.role != "branch":
            return usual
        assert site.place is not None, "a gain needs the place of the block: give it to `dense` or `conv`"
        gain = self.factor * site.place.length**-self.power
        return lambda key, shape, dtype=jnp.float32: gain * usual(key, shape, dtype)


@dataclasses.dataclass(frozen=True)
class Fixup:
    """Fixup (Zhang et al. 2019, arXiv 1901.09321), for residual networks without normalisation.

    The last layer of a branch of m layers and the classifier start at zero, a branch's other layers
    at L^(−1/(2m − 2)) times He's. The paper's multiplier is the connection `ReZero(alpha=1)`; its
    scalar biases are the dense layers' own (convolutions have none here).
    """

    def at(self, site: Site) -> Callable[..., jax.Array]:
        """What a layer starts as."""
        if site.role == "head" or (site.role == "branch" and site.layer == site.layers - 1):
            return initializers.zeros
        if site.role == "branch":
            assert site.place is not None, "Fixup needs the place of the block: give it to `dense` or `conv`"
            # variance, hence twice the exponent
            return variance_scaling(2 * site.place.length ** (-1 / (site.layers - 1)))
        return he_normal()
