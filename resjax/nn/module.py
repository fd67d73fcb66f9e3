"""What stem, branch, shortcut and head have in common: how they normalise, activate and initialise."""

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from resjax.nn import initializers, weights
from resjax.nn.arguments import Checked
from resjax.nn.initializers import Initializer, Site
from resjax.nn.kinds import NotNegative
from resjax.nn.norms import NoNorm
from resjax.nn.order import PRE, Order
from resjax.nn.place import Place, call, refuse_other


class Part(Checked, nn.Module):
    """A piece of a network: `__call__(x, train, place) -> y`.

    It is plain data: it can be compared, hashed and printed, and equal networks compile once. The methods make new
    layers, in the precision of x: call them inside a compact method.
    """

    norm: nn.Module = NoNorm()  # (x, train) -> x; each use is a copy with parameters of its own
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu
    initializer: Initializer = initializers.he_normal()
    bias_initializer: Initializer = initializers.zeros()
    order: Order = PRE
    spectral_norm: NotNegative = 0.0  # a bound on the norm of each of a branch's layers; 0: none

    role: ClassVar[str] = "shortcut"  # in the network, as `initializers.Site` has it

    def normalize(
        self, x: Float[Array, "... D"], train: bool, place: Place | None = None, last: bool = False
    ) -> Float[Array, "... D"]:
        """A new normalisation layer, applied to x (… D); `last`: the one with which a branch ends."""
        zero = last and getattr(self.norm, "zero_last", False)
        y = call(self.norm.copy(scale=0.0) if zero else self.norm.copy(), x, train, place)
        refuse_other(self.norm, x, y)
        return y

    def dense(
        self, x: Shaped[Array, "... D"], features: int, layer: int = 0, place: Place | None = None
    ) -> Float[Array, "... {features}"]:
        """A new dense layer, … D -> … features."""
        site = self.site(layer, place)
        kernel_init = initializers.at(self.initializer, site)
        bias_init = initializers.at(self.bias_initializer, site)
        return weights.Dense(features, kernel_init, bias_init, self.bound)(x)

    def conv(
        self,
        x: Shaped[Array, "B H W C"],
        features: int,
        size: int = 3,
        stride: int = 1,
        layer: int = 0,
        place: Place | None = None,
    ) -> Float[Array, "B (H-1)//{stride}+1 (W-1)//{stride}+1 {features}"]:
        """A new convolution without bias, B H W C -> B ⌈H/stride⌉ ⌈W/stride⌉ features."""
        kernel_init = initializers.at(self.initializer, self.site(layer, place))
        return weights.Conv(features, size, stride, kernel_init, self.bound)(x)

    def pointwise(
        self, where: str, x: Float[Array, "... D"], train: bool, place: Place | None = None
    ) -> Float[Array, "... _D"]:
        """The norms and activations that the order has `where` (a field of `Order`, or `stem`), applied to x (… D).

        What activation functions return is sown into the collection `activations`, for probes.
        """
        for step in getattr(self.order, where):
            if step == "norm":
                x = self.normalize(x, train, place, last=where == "end")
            elif step == "by_depth":
                x = x if place is None else x * jnp.asarray(place.turn, x.dtype) ** -0.5  # stem and head have no depth
            else:  # "activation": see `order.check`
                x = self.activation(x)
                if not self.is_initializing():
                    self.sow("activations", where, x)
        return x

    def site(self, layer: int, place: Place | None) -> Site:
        """Where a layer of this part stands."""
        return Site(self.role, place=place)

    @property
    def bound(self) -> float:
        """On the norm of this part's layers: stem, shortcut and head have none."""
        return self.spectral_norm if self.role == "branch" else 0.0


class Pointwise(Part):
    """The norms and activations at one place of an order, as a module of their own."""

    where: str = "after"

    @nn.compact
    def __call__(self, x: Float[Array, "... D"], train: bool, place: Place | None = None) -> Float[Array, "... _D"]:
        """x (… D) after them."""
        return self.pointwise(self.where, x, train, place)


def does_nothing(module: nn.Module) -> bool:
    """Whether a module is the identity for certain, as what stands behind the addition mostly is."""
    return isinstance(module, NoNorm) or (isinstance(module, Pointwise) and not getattr(module.order, module.where))
