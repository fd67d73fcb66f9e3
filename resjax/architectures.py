"""The networks that have a name: how many blocks of which shape a depth stands for."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from resjax import activations, branches, connections, initializers, names, normalizers, shortcuts
from resjax.branches import own
from resjax.config import Untrained
from resjax.connections import Plain
from resjax.ends import ConvStem, DenseStem, Head, ImageNetStem, PaddingStem
from resjax.errors import UserError
from resjax.networks import Network
from resjax.parts import ORDERS, Branch, Part
from resjax.stack import Block, Stack

IMAGENET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclasses.dataclass(frozen=True)
class Even:
    """Stages of equally many blocks: depth = base + stages · layers of a branch · n.

    From the second stage on, a stage halves the image: its first block does, or squeezing.
    """

    stem: type[Part]
    widths: tuple[int, ...] = (1,)  # of the stages, in widths of the stem
    base: int = 2
    squeezes: bool = False  # pixels become channels between the stages (see `resjax.squeezing`)

    def depths(self, point: Untrained) -> Sequence[int]:
        """The depths up to `point.depth` that there are."""
        step = self._step(point)
        return range(self.base + step, point.depth + 1, step)

    def build(self, point: Untrained, classes: int) -> Network:
        """The network.

        Raises:
          UserError: a depth that is not of this form, with the nearest ones that are.
        """
        step = self._step(point)
        blocks, rest = divmod(point.depth - self.base, step)
        if rest or blocks < 1:
            below = self.base + max(blocks, 1) * step
            nearest = [below] if point.depth < below else [below, below + step]
            raise UserError(
                f"depth {point.depth}: --network={point.network} with {_branch(point).layers} layers a branch has "
                f"depth {self.base} + {step}·n; nearest: {' and '.join(map(str, nearest))}"
            )
        return _network(point, classes, self.stem, self.widths, [blocks] * len(self.widths), self.squeezes)

    def _step(self, point: Untrained) -> int:
        return len(self.widths) * _branch(point).layers


@dataclasses.dataclass(frozen=True)
class ImageNet:
    """The five networks of He et al. 2015, table 1: basic branches to 34 layers, bottlenecks from 50 on."""

    def depths(self, point: Untrained) -> Sequence[int]:
        """The depths up to `point.depth` that there are."""
        return [depth for depth in IMAGENET if depth <= point.depth]

    def build(self, point: Untrained, classes: int) -> Network:
        """The network.

        Raises:
          UserError: a depth, or a branch for a depth, that is not in the table.
        """
        if point.depth not in IMAGENET:
            known = ", ".join(map(str, IMAGENET))
            raise UserError(f"depth {point.depth}: --network={point.network} has depth {known}")
        point = dataclasses.replace(point, branch=point.branch or ("basic" if point.depth < 50 else "bottleneck"))
        lengths = IMAGENET[point.depth]
        if point.depth != 2 + sum(lengths) * _branch(point).layers:
            raise UserError(f"--branch={point.branch}: the network of depth {point.depth} has other branches")
        return _network(point, classes, ImageNetStem, (1, 2, 4, 8), lengths)


def _branch(point: Untrained, **fields) -> Branch:
    """What most blocks compute; the blocks that change the shape keep the network's own branch."""
    if point.block and not fields.get("features"):
        return own.build(point.block, **fields)
    return branches.build(point.branch, **fields)


def _network(
    point: Untrained,
    classes: int,
    stem: type[Part],
    widths: Sequence[int],
    lengths: Sequence[int],
    squeezes: bool = False,
) -> Network:
    """Stem, stages and head. A stage whose first block changes the shape is two stacks."""
    choices = {name: getattr(point, name) for name in Part().choices}
    inner = choices | {"length": sum(lengths)}
    connection = connections.build(point.connection, shortcut=point.shortcut, **inner)
    dense, expansion = stem is DenseStem, type(branches.build(point.branch)).expansion
    kind, _ = names.parse(point.branch, "branch")
    if kind in branches.BRANCHES and dense != (kind == "dense"):
        raise UserError(f"--branch={point.branch}: not for --network={point.network}, whose stream has another shape")
    if dense and isinstance(shortcuts.build(point.shortcut), shortcuts.MaxPool):
        raise UserError(f"--shortcut={point.shortcut}: not for --network={point.network}, whose stream is no image")
    if not dense and _branch(point).layers != branches.build(point.branch).layers:
        raise UserError(
            f"--block={point.block}: needs as many layers as --branch={point.branch}, beside which it stands"
        )
    if point.activation == "crelu" and "activation" in ORDERS[point.order].end + ORDERS[point.order].joined:
        raise UserError(f"--activation=crelu: doubles the stream behind every block of order {point.order}; use pre")
    stages, before = [], point.width
    for stage, (width, length) in enumerate(zip(widths, lengths, strict=True)):
        features, stride = point.width * width * expansion, 2 if stage else 1
        if not dense and not squeezes and (features, stride) != (before, 1):
            branch = _branch(point, features=features, stride=stride, shared=True, **inner)
            stages.append(Stack(Block(branch, connection), 1, point.remat))
            length -= 1
        if length:
            block = Block(_branch(point, **inner), connection)
            stages.append(Stack(block, length, point.remat, squeeze=stride if squeezes else 1))
        before = features
    dtype = "" if point.dtype == "float32" else point.dtype  # the images' own, so that float64 ones stay it
    stages = tuple(_with_projections(point, stages)) if point.projections else tuple(stages)
    return Network(stem(width=point.width, **choices), stages, Head(classes=classes, **choices), dtype)


def _with_projections(point: Untrained, stacks: list[Stack]) -> Iterator[Stack]:
    """The stacks, split so that `point.projections` of the blocks that keep the size have the shortcut too.

    Raises:
      UserError: there are fewer such blocks, they have no skip, or all of them have the shortcut already.
    """
    wanted, connection = f"--projections={point.projections}", stacks[0].block.connection
    if isinstance(connection, Plain) or connection.always:
        why = "all have one" if connection.always else "none has a skip"
        raise UserError(f"{wanted}: of the blocks of --connection={point.connection} {why}; use 0")
    keep = sum(stack.length for stack in stacks if not stack.block.branch.shared)
    if point.projections > keep:
        raise UserError(f"{wanted}: at most {keep}, the blocks of depth {point.depth} that keep the size")
    chosen = {(2 * place + 1) * keep // (2 * point.projections) for place in range(point.projections)}
    always, blocks = connection.clone(always=True), itertools.count()
    for stack in stacks:
        if stack.block.branch.shared:
            yield stack
            continue
        for has, run in itertools.groupby(next(blocks) in chosen for _ in range(stack.length)):
            block = Block(stack.block.branch, always if has else connection)
            yield dataclasses.replace(stack, block=block, length=len(list(run)))
            stack = dataclasses.replace(stack, squeeze=1)  # what follows has been squeezed


NETWORKS = {
    "dense": lambda: Even(DenseStem),
    "resnet": lambda: Even(ConvStem, (1, 2, 4)),
    "preact": lambda: Even(ConvStem, (1, 2, 4)),
    "bottleneck": lambda: Even(ConvStem, (1, 2, 4)),
    # WRN-d-k (Zagoruyko & Komodakis 2016) counts its three projections and not its head: d = 6n + 4
    "wide": lambda factor=1: Even(ConvStem, (factor, 2 * factor, 4 * factor), base=4),
    "imagenet": ImageNet,
    "iresnet": lambda: Even(PaddingStem, (1, 4, 16), base=1, squeezes=True),  # Behrmann et al. 2019, section 5.1
}


def build(point: Untrained, classes: int) -> Network:
    """The network that a point asks for.

    Raises:
      UserError: an unknown name, or a depth that the architecture cannot have.
    """
    activations.build(point.activation)
    for initializer in (point.initializer, point.bias_initializer):
        initializers.build(initializer, initializers.Place())
    normalizers.build(point.norm)
    shortcuts.build(point.shortcut)
    policies = [name for name in dir(jax.checkpoint_policies) if name.endswith("saveable")]
    if point.remat and point.remat not in policies:
        raise UserError(f"unknown remat policy {point.remat!r}: known are {', '.join(policies)}, or '' for none")
    return _architecture(point).build(point, classes)


def check(point: Untrained, network: Network, shape: Sequence[int], whose: str):
    """Refuses images of this shape (H W C), for the error message `whose`, that the network cannot take.

    Raises:
      UserError: they are too small, or a block of the user's own changes the shape of the stream.
    """
    height, width, channels = shape
    if isinstance(network.stem, PaddingStem):
        if height % network.stride or width % network.stride:
            raise UserError(
                f"--network={point.network}: squeezes squares of {network.stride}×{network.stride}, "
                f"which do not fill the {height}×{width} pixels of {whose}"
            )
        if channels > point.width:
            raise UserError(f"--width={point.width}: must be at least {channels}, the channels of {whose}")
    if min(height, width) < network.stride:
        raise UserError(
            f"--network={point.network}: needs images of {network.stride}×{network.stride} or more, "
            f"{whose} has {height}×{width}"
        )
    if point.block:
        try:
            jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.float32))
        except (TypeError, ValueError) as error:  # it takes no (x, train), or no stream of this shape
            raise UserError(f"--block={point.block}: {str(error).splitlines()[0]}") from error


def depths(point: Untrained) -> Sequence[int]:
    """The depths up to `point.depth` that its architecture can have.

    Raises:
      UserError: there is none.
    """
    possible = _architecture(point).depths(point)
    if not possible:
        build(point, 1)  # says why
    return possible


def _architecture(point: Untrained):
    return names.build(point.network, "network", NETWORKS)
