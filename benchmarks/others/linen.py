"""Networks in plain Flax: blocks in a Python loop, or in Flax's own scan."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp


class Dense(nn.Module):
    """A pre-activation dense network: a Python loop over its blocks, or `nn.scan` with `nn.remat`."""

    depth: int
    width: int
    scanned: bool
    classes: int = 10

    @nn.compact
    def __call__(self, x, train: bool):
        length = (self.depth - 2) // 2
        x = _weights(self.width)(x.reshape(x.shape[0], -1))  # B D
        if self.scanned:
            axes = {"params": 0, "batch_stats": 0}
            block = nn.remat(Block, prevent_cse=False)  # a scan prevents it by itself
            blocks = nn.scan(block, variable_axes=axes, split_rngs={"params": True}, length=length)
            x, _ = blocks(self.width, train)(x, None)
        else:
            for _ in range(length):
                x = _block(x, self.width, train)
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9)(x))
        return _weights(self.classes)(x)  # B K


class Block(nn.Module):
    """A block as `nn.scan` wants it: (carry, input) -> (carry, output)."""

    width: int
    train: bool

    @nn.compact
    def __call__(self, x, _):
        return _block(x, self.width, self.train), None  # B D


def _block(x, width: int, train: bool):
    """x + F(x), B D; its layers belong to the module that calls it."""
    f = x
    for _ in range(2):
        f = nn.relu(nn.BatchNorm(not train, momentum=0.9)(f))
        f = _weights(width)(f)
    return x + f


def _weights(features: int) -> nn.Dense:
    return nn.Dense(features, kernel_init=nn.initializers.he_normal())


class UnrolledResNet(nn.Module):
    """A network of He et al. 2015 for small images, option A, as a Python loop over its blocks."""

    depth: int
    classes: int = 10

    @nn.compact
    def __call__(self, x, train: bool):
        def conv(x, features, stride=1):
            kernel_init = nn.initializers.he_normal()
            x = nn.Conv(features, (3, 3), stride, padding=1, use_bias=False, kernel_init=kernel_init)(x)
            return nn.BatchNorm(not train, momentum=0.9)(x)

        x = nn.relu(conv(x, 16))  # B H W C
        for features in (16, 32, 64):
            for _ in range((self.depth - 2) // 6):
                stride = features // x.shape[-1]  # 1, or 2 where the features double
                f = conv(nn.relu(conv(x, features, stride)), features)
                x = jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))
                x = nn.relu(x + f)
        return nn.Dense(self.classes)(x.mean((1, 2)))  # B K


@dataclasses.dataclass(frozen=True)
class Linen:
    """Gives a Linen module the `init` and `apply` of `resjax.network.Network`."""

    module: nn.Module

    def init(self, key, x):
        variables = self.module.init(key, x, train=False)
        return variables["params"], {"batch_stats": variables["batch_stats"]}

    def apply(self, params, state, x, layers, *, train, hold=None):
        logits, state = self.module.apply({"params": params, **state}, x, train=train, mutable=["batch_stats"])
        return logits, state, None
