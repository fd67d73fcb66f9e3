"""The same networks as others would write them, for `throughput` to compare with."""

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

    def apply(self, params, state, x, layers, *, train, hold):
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


def torch_dense_step(depth: int, width: int, batch_size: int):
    """A function that does one eager PyTorch training step.

    Raises:
      ModuleNotFoundError: PyTorch is not installed.
    """
    import torch  # an extra
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)]
            self.branch = nn.Sequential(*layers, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))

        def forward(self, x):
            return x + self.branch(x)

    torch.manual_seed(0)
    blocks = [Block() for _ in range((depth - 2) // 2)]
    network = nn.Sequential(nn.Linear(64, width), *blocks, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))
    return _torch_step(network, torch.randn(batch_size, 64), torch.randint(10, (batch_size,)))


def torch_resnet_step(depth: int, batch_size: int):
    """A function that does one eager PyTorch training step of a network of He et al. 2015, channels last.

    Raises:
      ModuleNotFoundError: PyTorch is not installed.
    """
    import torch  # an extra
    from torch import nn

    def conv(channels, features, stride=1):
        return nn.Conv2d(channels, features, 3, stride, padding=1, bias=False), nn.BatchNorm2d(features)

    class Block(nn.Module):
        def __init__(self, channels, features):
            super().__init__()
            self.stride = features // channels
            self.more = features - channels
            first = conv(channels, features, self.stride)
            self.branch = nn.Sequential(*first, nn.ReLU(), *conv(features, features))

        def forward(self, x):
            f = self.branch(x)
            x = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
            return torch.relu(x + f)

    torch.manual_seed(0)
    blocks = []
    channels = 16
    for features in (16, 32, 64):
        for _ in range((depth - 2) // 6):
            blocks.append(Block(channels, features))
            channels = features
    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    network = nn.Sequential(*conv(3, 16), nn.ReLU(), *blocks, *pool).to(memory_format=torch.channels_last)
    images = torch.randn(batch_size, 3, 32, 32).to(memory_format=torch.channels_last)
    return _torch_step(network, images, torch.randint(10, (batch_size,)))


def torch_transformer_step(blocks: int, width: int, heads: int, batch_size: int, tokens: int, compiled: bool = False):
    """A function that does one PyTorch training step, eager or compiled, of a decoder of its own encoder layers.

    Raises:
      ModuleNotFoundError: PyTorch is not installed.
    """
    import torch  # an extra
    from torch import nn

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            options = {"dropout": 0.0, "norm_first": True, "batch_first": True}
            layer = nn.TransformerEncoderLayer(width, heads, 4 * width, **options)
            self.embedding = nn.Embedding(256, width)
            self.blocks = nn.TransformerEncoder(layer, blocks, nn.LayerNorm(width), enable_nested_tensor=False)
            self.head = nn.Linear(width, 256)
            self.mask = nn.Transformer.generate_square_subsequent_mask(tokens)

        def forward(self, x):
            x = self.blocks(self.embedding(x), mask=self.mask, is_causal=True)  # B T D
            return self.head(x).flatten(0, 1)  # B·T K

    torch.manual_seed(0)
    x = torch.randint(256, (batch_size, tokens))
    network = torch.compile(Decoder()) if compiled else Decoder()
    return _torch_step(network, x, x.flatten())


def _torch_step(network, images, labels):
    import torch

    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    step()
    return step
