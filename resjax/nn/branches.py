"""What a block computes: F(x). A branch is one small Linen module, `__call__(x, train) -> f`."""

from typing import Annotated, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from resjax.nn.initializers import Site, variance_scaling
from resjax.nn.kinds import Count, Range, Share, Size
from resjax.nn.module import Part
from resjax.nn.norms import LayerNorm, NoNorm
from resjax.nn.order import ACTIVATION_BEFORE_ADDITION
from resjax.nn.place import Place, call, refuse_other


class Branch(Part):
    """F: `__call__(x, train, place) -> f`. Any Linen module (x, train) -> f of the shape of x is a branch, too."""

    layers: Count = 2  # weighted layers on the longest path, what He et al. count as depth
    features: Size = 0  # of f; 0 for those of x. Other than 0 only for branches of images
    stride: Count = 1  # of the image

    role: ClassVar[str] = "branch"
    expansion: ClassVar[int] = 1  # features of f, in widths of the stage

    def site(self, layer: int, place: Place | None) -> Site:
        """Where one of the branch's layers stands."""
        return Site(self.role, layer, self.layers, place)


class Dense(Branch):
    """k dense layers, B … D -> B … D; the order says where norm and activation stand."""

    def __post_init__(self):
        super().__post_init__()
        if self.features or self.stride != 1:
            raise ValueError(f"features={self.features}, stride={self.stride}: only for branches of images")

    @nn.compact
    def __call__(self, x: Float[Array, "B ... D"], train: bool, place: Place | None = None) -> Float[Array, "B ... D"]:
        """F(x), in the shape of x."""
        width = x.shape[-1]
        x = self.pointwise("before", x, train, place)
        for layer in range(self.layers):
            if layer:
                x = self.pointwise("between", x, train, place)
            x = self.dense(x, width, layer, place)  # B … D
        return self.pointwise("end", x, train, place)


def crl() -> Dense:
    """Four dense layers, each with layer norm and swish behind it, whatever the network's norm and activation are.

    What 1000-layer reinforcement learning is made of (Wang et al. 2025, arXiv 2503.14858); weights are uniform of
    variance 1/(3 fan-in).
    """
    return Dense(
        layers=4,
        norm=LayerNorm(epsilon=1e-6),  # Flax's own
        activation=nn.swish,
        initializer=variance_scaling(1 / 3, "fan_in", "uniform"),
        order=ACTIVATION_BEFORE_ADDITION,
    )


class Basic(Branch):
    """k convolutions of 3×3, the first with the stride (He et al. 2015, arXiv 1512.03385).

    `dropout` stands in front of the last of them (Zagoruyko & Komodakis 2016, arXiv 1605.07146);
    `sizes` are those of the kernels where they are not 3.
    """

    dropout: Share = 0.0
    sizes: tuple[Count, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if self.sizes and len(self.sizes) != self.layers:
            raise ValueError(f"sizes={self.sizes}: give {self.layers}, one for each layer")

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], train: bool, place: Place | None = None
    ) -> Float[Array, "B (H-1)//{self.stride}+1 (W-1)//{self.stride}+1 _C"]:
        """F(x), B H W C -> B H/stride W/stride features."""
        features = self.features or x.shape[-1]
        x = self.pointwise("before", x, train, place)
        for layer in range(self.layers):
            if layer:
                x = self.pointwise("between", x, train, place)
            if self.dropout and layer == self.layers - 1:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            size = self.sizes[layer] if self.sizes else 3
            x = self.conv(x, features, size, 1 if layer else self.stride, layer, place)  # B H W C
        return self.pointwise("end", x, train, place)


class Bottleneck(Branch):
    """1×1, 3×3 and 1×1 convolutions, a quarter of the features between them (He et al. 2015, section 4.1).

    `strided` is the place of the convolution with the stride: 0 in the papers, 1 in what
    PyTorch and others call ResNet v1.5.
    """

    layers: Annotated[int, Range(3, 3)] = 3
    strided: Annotated[int, Range(0, 2)] = 0

    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], train: bool, place: Place | None = None
    ) -> Float[Array, "B (H-1)//{self.stride}+1 (W-1)//{self.stride}+1 _C"]:
        """F(x), B H W C -> B H/stride W/stride features."""
        features = self.features or x.shape[-1]
        x = self.pointwise("before", x, train, place)
        for layer, size in enumerate((1, 3, 1)):
            if layer:
                x = self.pointwise("between", x, train, place)
            out = features if layer == 2 else features // self.expansion
            x = self.conv(x, out, size, self.stride if layer == self.strided else 1, layer, place)  # B H W C
        return self.pointwise("end", x, train, place)


class BranchOf(nn.Module):
    """F(x) = y − x of a block x -> y, so that the connection `Residual` gives back the block itself.

    So the direct path, lesions, survival rates and all that is said of F hold for any block.
    """

    block: nn.Module = NoNorm()  # (x, train) -> y, in the shape of x

    @property
    def layers(self) -> int:
        """The block's own count of weighted layers, else 1."""
        return getattr(self.block, "layers", 1)

    @nn.compact
    def __call__(self, x: Float[Array, "B ... D"], train: bool, place: Place | None = None) -> Float[Array, "B ... D"]:
        """y − x.

        Raises:
          ValueError: y has another shape than x.
        """
        y = call(self.block, x, train, place)
        refuse_other(self.block, x, y)
        return y - x
