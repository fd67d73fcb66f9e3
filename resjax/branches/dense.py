"""A branch of dense layers of the stream's own width."""

import flax.linen as nn

from resjax.parts import Branch, pointwise


class Dense(Branch):
    """k dense layers, B D -> B D; the order says where norm and activation stand."""

    @nn.compact
    def __call__(self, x, train: bool):
        width = x.shape[-1]
        x = x if self.shared else pointwise(self, "before", x, train)
        for layer in range(self.layers):
            x = self.dense(x if layer == 0 else pointwise(self, "between", x, train), width, layer)  # B D
        return pointwise(self, "end", x, train)
