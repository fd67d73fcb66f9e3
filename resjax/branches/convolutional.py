"""Branches of convolutions, B H W C -> B H/stride W/stride features."""

from typing import ClassVar

import flax.linen as nn

from resjax.parts import Branch, pointwise


class Basic(Branch):
    """k convolutions of 3×3, the first with the stride (He et al. 2015).

    `dropout` stands in front of the last of them (Zagoruyko & Komodakis 2016, arXiv 1605.07146);
    `sizes` are those of the kernels where they are not 3.
    """

    dropout: float = 0.0
    sizes: tuple[int, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if self.sizes and len(self.sizes) != self.layers:
            raise ValueError(f"sizes={self.sizes}: give {self.layers}, one for each layer")

    @nn.compact
    def __call__(self, x, train: bool):
        features = self.features or x.shape[-1]
        x = x if self.shared else pointwise(self, "before", x, train)
        for layer in range(self.layers):
            x = x if layer == 0 else pointwise(self, "between", x, train)
            if layer == self.layers - 1 and self.dropout:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            size, stride = self.sizes[layer] if self.sizes else 3, self.stride if layer == 0 else 1
            x = self.conv(x, features, size, stride, layer)  # B H W C
        return pointwise(self, "end", x, train)


class Bottleneck(Branch):
    """1×1, 3×3 and 1×1 convolutions, a quarter of the features between them (He et al. 2015).

    `strided` is the place of the convolution with the stride: 0 in the papers, 1 in what
    PyTorch and others call ResNet v1.5.
    """

    layers: int = 3
    strided: int = 0

    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x, train: bool):
        features = self.features or x.shape[-1]
        x = x if self.shared else pointwise(self, "before", x, train)
        for layer, size in enumerate((1, 3, 1)):
            x = x if layer == 0 else pointwise(self, "between", x, train)
            stride = self.stride if layer == self.strided else 1
            x = self.conv(x, features if layer == 2 else features // self.expansion, size, stride, layer)  # B H W C
        return pointwise(self, "end", x, train)
