"""Networks in PyTorch, and their training steps, eager or compiled, on a CPU or another device."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class How:
    """How PyTorch runs a network."""

    compiled: bool = False  # by `torch.compile`, or eagerly
    device: str = "cpu"  # PyTorch's name of it
    dtype: str = "float32"  # what the network computes in; weights and loss are float32


def dense(depth: int, width: int):
    """The pre-activation dense network, for inputs B 64.

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
    return nn.Sequential(nn.Linear(64, width), *blocks, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))


def dense_step(depth: int, width: int, batch_size: int, how: How = How()) -> Callable[[], None]:
    """A function that does one training step of `dense`.

    Raises:
      ModuleNotFoundError: PyTorch is not installed.
    """
    import torch

    network = dense(depth, width)
    return training(network, torch.randn(batch_size, 64), torch.randint(10, (batch_size,)), how)


def resnet(depth: int):
    """The network of He et al. 2015 for small images, option A, channels last.

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
    return nn.Sequential(*conv(3, 16), nn.ReLU(), *blocks, *pool).to(memory_format=torch.channels_last)


def resnet_step(depth: int, batch_size: int, how: How = How()) -> Callable[[], None]:
    """A function that does one training step of `resnet`.

    Raises:
      ModuleNotFoundError: PyTorch is not installed.
    """
    import torch

    network = resnet(depth)
    images = torch.randn(batch_size, 3, 32, 32).to(memory_format=torch.channels_last)
    return training(network, images, torch.randint(10, (batch_size,)), how)


def transformer(blocks: int, width: int, heads: int, tokens: int):
    """A decoder of PyTorch's own encoder layers, for inputs B T of bytes; its logits are B·T K.

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
            mask = nn.Transformer.generate_square_subsequent_mask(tokens)
            self.register_buffer("mask", mask, persistent=False)  # goes where the network goes

        def forward(self, x):
            x = self.blocks(self.embedding(x), mask=self.mask, is_causal=True)  # B T D
            return self.head(x).flatten(0, 1)  # B·T K

    torch.manual_seed(0)
    return Decoder()


def transformer_step(
    blocks: int, width: int, heads: int, batch_size: int, tokens: int, how: How = How()
) -> Callable[[], None]:
    """A function that does one training step of `transformer`.

    Raises:
      ModuleNotFoundError: PyTorch is not installed.
    """
    import torch

    network = transformer(blocks, width, heads, tokens)
    x = torch.randint(256, (batch_size, tokens))
    return training(network, x, x.flatten(), how)


def training(network, inputs, targets, how: How = How()) -> Callable[[], None]:
    """A function that does one training step of a network on this batch. The first one is done here: it compiles."""
    import torch

    if how.device != "cpu":
        torch.set_float32_matmul_precision("high")  # what XLA takes for float32 on a GPU, too: TF32
        torch.backends.cudnn.benchmark = True  # convolutions are tried out, as XLA does it
    network, inputs, targets = (part.to(how.device) for part in (network, inputs, targets))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    run = network
    if how.compiled:
        torch.compiler.reset()  # it would count other networks as other shapes of this one, and give up
        run = torch.compile(network)

    def step():
        optimizer.zero_grad()
        with torch.autocast(how.device, torch.bfloat16, enabled=how.dtype == "bfloat16"):
            loss = torch.nn.functional.cross_entropy(run(inputs), targets)
        loss.backward()
        optimizer.step()

    step()
    return step
