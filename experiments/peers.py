"""The same dense residual network as others would write it, for `throughput` to compare with."""

import flax.linen as nn


class UnrolledFlax(nn.Module):
    """A Python loop over blocks in one Linen module; has the `init` and `apply` of a `Network`."""

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


class Unrolled:
    """Gives `UnrolledFlax` the signature of `resjax.networks.Network`."""

    def __init__(self, depth: int, width: int):
        self.module = UnrolledFlax(depth, width)

    def init(self, key, x):
        variables = self.module.init(key, x, train=False)
        return variables["params"], {"batch_stats": variables["batch_stats"]}

    def apply(self, params, state, x, layers, *, train):
        logits, state = self.module.apply({"params": params, **state}, x, train=train, mutable=["batch_stats"])
        return logits, state, None


def torch_step(depth: int, width: int, batch_size: int, learning_rate: float):
    """A function that does one eager PyTorch training step and returns its loss.

    Raises:
      ImportError: PyTorch is not installed.
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
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=0.9)
    images, labels = torch.randn(batch_size, 64), torch.randint(10, (batch_size,))

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
