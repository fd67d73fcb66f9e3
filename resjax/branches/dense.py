"""A branch of dense layers of the stream's own width."""

import flax.linen as nn

from resjax.parts import Branch


class Dense(Branch):
    """k dense layers, B D -> B D.

    Order `pre` is norm → activation → dense, k times (He et al. 2016, full pre-activation). Order
    `post` is dense → norm → activation without the last activation, which follows the addition
    (He et al. 2015); the block applies it.
    """

    @nn.compact
    def __call__(self, x, train: bool):
        width = x.shape[-1]
        for layer in range(self.layers):
            if self.order == "pre":
                x = self.dense(self.activate(self.normalize(x, train)), width)  # B D
            else:
                x = self.normalize(self.dense(x, width), train)  # B D
                x = self.activate(x) if layer < self.layers - 1 else x
        return x
