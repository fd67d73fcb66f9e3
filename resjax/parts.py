"""What stem, branch, connection and head have in common: how they normalise, activate and initialise."""

import dataclasses
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from resjax import activations, initializers, normalizers
from resjax.convolution import convolve
from resjax.spectral import SpectralNorm


class Order(NamedTuple):
    """Where norm and activation stand in a residual unit (He et al. 2016, arXiv 1603.05027, figure 4)."""

    before: tuple[str, ...] = ()  # in front of F's first weights
    between: tuple[str, ...] = ("norm", "activation")  # between two layers of weights
    end: tuple[str, ...] = ()  # behind F's last weights
    joined: tuple[str, ...] = ()  # behind the addition

    @property
    def stem(self) -> tuple[str, ...]:
        """Behind the network's first weights: what the blocks do not do before theirs."""
        return tuple(step for step in ("norm", "activation") if step not in self.before)


ORDERS = {
    "pre": Order(before=("norm", "activation")),  # full pre-activation
    "post": Order(end=("norm",), joined=("activation",)),  # the original unit of He et al. 2015
    "norm_after_addition": Order(joined=("norm", "activation")),
    "activation_before_addition": Order(end=("norm", "activation")),
    "activation_only_pre": Order(before=("activation",), end=("norm",)),
}


class Part(nn.Module):
    """A piece of a network: `__call__(x, train) -> y`.

    Choices are kept as their names (see `resjax.names`), so that a part is plain data: it can be
    compared, hashed and printed, and equal networks compile once. The methods make new layers, in
    the precision of x: call them inside a compact method.
    """

    norm: str = "none"
    activation: str = "relu"
    initializer: str = "he_normal"
    bias_initializer: str = "zeros"
    order: str = "pre"  # a name of ORDERS
    spectral_norm: float = 0.0  # a bound on the norm of each of a branch's layers; 0: none

    role: ClassVar[str] = "shortcut"  # in the network, as `initializers.Place` has it

    @property
    def choices(self) -> dict[str, str | float]:
        """The options above, to build another part with."""
        own = (field.name for field in dataclasses.fields(Part) if field.name not in ("parent", "name"))
        return {name: getattr(self, name) for name in own}

    def normalize(self, x, train: bool):
        """A new normalisation layer, applied to x (… D)."""
        return normalizers.build(self.norm)(x, train)

    def activate(self, x):
        """The nonlinearity."""
        return activations.build(self.activation)(x)

    def place(self, layer: int) -> initializers.Place:
        """Where this part's layer of weights stands."""
        return initializers.Place(self.role)

    def dense(self, x, features: int, layer: int = 0):
        """A new dense layer, … D -> … features."""
        return Dense(features, self.initializer, self.bias_initializer, self.place(layer), self.bound)(x)

    def conv(self, x, features: int, size: int = 3, stride: int = 1, layer: int = 0):
        """A new convolution without bias, B H W C -> B ⌈H/stride⌉ ⌈W/stride⌉ features."""
        return Conv(features, size, stride, self.initializer, self.place(layer), self.bound)(x)

    @property
    def bound(self) -> float:
        """On the norm of this part's layers: stem, shortcut and head have none."""
        return self.spectral_norm if self.role == "branch" else 0.0


class Dense(nn.Module):
    """xW + b, … D -> … features."""

    features: int
    initializer: str
    bias_initializer: str
    place: initializers.Place
    bound: float = 0.0  # on the norm of W (see `resjax.spectral`); 0: none

    @nn.compact
    def __call__(self, x):
        shape = x.shape[-1], self.features
        kernel = self.param("kernel", initializers.build(self.initializer, self.place), shape, jnp.float32)
        bias = self.param("bias", initializers.build(self.bias_initializer, self.place), shape[1:], jnp.float32)
        if self.bound:
            kernel = SpectralNorm(self.bound)(kernel, lambda kernel, x: x @ kernel, shape[:1])
        return x @ kernel.astype(x.dtype) + bias.astype(x.dtype)


class Conv(nn.Module):
    """Convolution with kernels of size × size and no bias."""

    features: int
    size: int
    stride: int
    initializer: str
    place: initializers.Place
    bound: float = 0.0  # on the norm of the convolution as a map of images (see `resjax.spectral`); 0: none

    @nn.compact
    def __call__(self, x):
        shape = self.size, self.size, x.shape[-1], self.features  # h w C C′
        kernel = self.param("kernel", initializers.build(self.initializer, self.place), shape, jnp.float32)
        if self.bound:
            linear = lambda kernel, x: convolve(x, kernel, self.stride)  # noqa: E731
            kernel = SpectralNorm(self.bound)(kernel, linear, (1, *x.shape[1:]))
        return convolve(x, kernel.astype(x.dtype), self.stride)


class Branch(Part):
    """F: `__call__(x, train) -> f`, what a block computes."""

    layers: int = 2  # weighted layers on the longest path, what He et al. count as depth
    features: int = 0  # of f; 0 for those of x. Other than 0 only for branches of images
    stride: int = 1  # of the image
    shared: bool = False  # the block has done what stands `before` already, for the shortcut too
    length: int = 1  # L, blocks in the whole network, for initialisers that depend on depth

    role: ClassVar[str] = "branch"
    expansion: ClassVar[int] = 1  # features of f, in widths of the stage

    def place(self, layer: int) -> initializers.Place:
        """Where one of the branch's layers stands."""
        return initializers.Place(self.role, layer, self.layers, self.length)


def pointwise(part: Part, place: str, x, train: bool):
    """The norms and activations that `part.order` has at a place of `Order`, in the module that calls.

    What activation functions return is sown into the collection `activations`, for probes.
    """
    for step in getattr(ORDERS[part.order], place):
        if step == "norm":
            x = normalizers.build(part.norm)(x, train)
        else:
            x = activations.build(part.activation)(x)
            if not part.is_initializing():
                part.sow("activations", place, x)
    return x
