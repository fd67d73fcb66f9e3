"""The networks that `accelerator` measures, at each size. Depths are of weighted layers."""

import dataclasses
import functools

from benchmarks import images
from benchmarks.device_cases import Torch, Training
from benchmarks.others import pytorch
from resjax.lab.trial import Trial


@dataclasses.dataclass(frozen=True)
class Size:
    """How large everything is; of two depths, the second is the one that the first is compared with."""

    matrix: int = 8192
    batch: int = 128  # of images
    large: int = 1024  # the larger one
    resnet: tuple[int, int] = (56, 20)
    wide: tuple[int, int] = (28, 10)  # depth, and factor
    dense: tuple[int, int] = (1000, 20)
    together: int = 110  # depth of the dense networks that train together
    seeds: tuple[int, ...] = (4, 16, 64)  # so many together
    transformer: tuple[int, int] = (1002, 50)
    unrolled: int = 102  # depth of the dense network and the transformer that PyTorch compiles, all layers one by one
    width: int = 256  # of dense networks and transformers
    rows: int = 256  # a batch of dense networks
    tokens: int = 256  # of a text
    texts: int = 32  # a batch


SIZES = {
    "full": Size(),
    "small": Size(
        matrix=256,
        batch=2,
        large=4,
        resnet=(8, 8),
        wide=(10, 1),
        dense=(12, 6),
        together=4,
        seeds=(2, 3),
        transformer=(10, 6),
        unrolled=6,
        width=64,
        rows=8,
        tokens=8,
        texts=2,
    ),
}


def resnet(size: Size, depth: int = 0, peer=None, fixed: bool = False, variant: str = "", **choices) -> Training:
    """A network of He et al. 2015, by default the deeper one."""
    trial = images.trial(depth or size.resnet[0], **{"batch_size": size.batch} | choices)
    return Training(f"ResNet-{trial.depth}", trial, images.IMAGES, peer, fixed, variant)


def wide(size: Size, **choices) -> Training:
    """A wide residual network."""
    depth, factor = size.wide
    trial = images.trial(depth, f"wide(factor={factor})", batch_size=size.batch, **choices)
    return Training(f"WRN-{depth}-{factor}", trial, images.IMAGES)


def dense(size: Size, depth: int = 0, **choices) -> Training:
    """A dense network of the digits, by default the deeper one."""
    trial = Trial(depth=depth or size.dense[0], width=size.width, batch_size=size.rows, **choices)
    return Training(f"dense {trial.depth}", trial)


def together(size: Size, count: int) -> Training:
    """So many dense networks at a time, of the size and batch that the experiments here have; 0: one alone."""
    trial = Trial(depth=size.together, num_seeds=count)
    return Training(f"dense {trial.depth}", trial, variant=f"{count} together" if count else "alone")


def transformer(size: Size, depth: int = 0, **choices) -> Training:
    """A decoder of texts, by default the deeper one."""
    own = {"network": "transformer(heads=4)", "norm": "layer", "dataset": f"text(window={size.tokens})"}
    sizes = {"depth": depth or size.transformer[0], "width": size.width, "batch_size": size.texts}
    return Training(f"transformer {sizes['depth']}", Trial(**own, **sizes, **choices))


def torch_resnet(size: Size, dtype: str) -> Torch:
    """The network of He et al. 2015 in PyTorch."""
    build = functools.partial(pytorch.resnet_step, size.resnet[0], size.batch)
    return Torch(resnet(size, dtype=dtype), build)


def torch_transformer(size: Size) -> Torch:
    """A decoder of PyTorch's own layers."""
    blocks = (size.unrolled - 2) // 4
    build = functools.partial(pytorch.transformer_step, blocks, size.width, 4, size.texts, size.tokens)
    return Torch(transformer(size, size.unrolled), build)


def torch_dense(size: Size) -> Torch:
    """A dense network in PyTorch."""
    build = functools.partial(pytorch.dense_step, size.unrolled, size.width, size.rows)
    return Torch(dense(size, size.unrolled), build)
