"""The same networks as others would write them in JAX, for `throughput` to compare with."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp


class UnrolledDense(nn.Module):
    """A pre-activation dense network as a Python loop over its blocks."""

    depth: int
    width: int
    classes: int = 10

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(self.width, kernel_init=nn.initializers.he_normal())(x.reshape(x.shape[0], -1))  # B D
        for _ in range((self.depth - 2) // 2):
            f = x
            for _ in range(2):
                f = nn.relu(nn.BatchNorm(not train, momentum=0.9)(f))
                f = nn.Dense(self.width, kernel_init=nn.initializers.he_normal())(f)  # B D
            x = x + f
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9)(x))
        return nn.Dense(self.classes, kernel_init=nn.initializers.he_normal())(x)  # B K


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
class Unrolled:
    """Gives a Linen module the `init` and `apply` of `resjax.network.Network`."""

    module: nn.Module

    def init(self, key, x):
        variables = self.module.init(key, x, train=False)
        return variables["params"], {"batch_stats": variables["batch_stats"]}

    def apply(self, params, state, x, layers, *, train):
        logits, state = self.module.apply({"params": params, **state}, x, train=train, mutable=["batch_stats"])
        return logits, state, None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fixed:
    """A batch that is always the same."""

    images: jax.Array  # B H W C
    labels: jax.Array  # B

    def batch(self, key, step):
        return self.images, self.labels
