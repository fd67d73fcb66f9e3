"""What stem, branch and head have in common: how they normalise, activate and initialise."""

import flax.linen as nn

from resjax import activations, initializers, normalizers

ORDERS = ("pre", "post")


class Part(nn.Module):
    """A piece of a network: `__call__(x, train) -> y`.

    Choices are kept as their names (see `resjax.names`), so that a part is plain data: it can be
    compared, hashed and printed, and equal networks compile once.
    """

    norm: str = "none"
    activation: str = "relu"
    initializer: str = "he_normal"
    order: str = "pre"  # pre: norm → activation → weights; post: weights → norm → activation

    def normalize(self, x, train: bool):
        """A new normalisation layer, applied to x (… D). Call it inside a compact method."""
        return normalizers.build(self.norm)(x, train)

    def activate(self, x):
        """The nonlinearity."""
        return activations.build(self.activation)(x)

    def dense(self, x, features: int):
        """A new dense layer, … D -> … features. Call it inside a compact method."""
        return nn.Dense(features, kernel_init=initializers.build(self.initializer))(x)


class Branch(Part):
    """F: `__call__(x, train) -> f`, what a block computes."""

    layers: int = 2  # weighted layers on the longest path, what He et al. count as depth
