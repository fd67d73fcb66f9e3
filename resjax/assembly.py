"""From parts to a network: stem, stages of blocks, head."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import flax.linen as linen

from resjax import nn
from resjax.network import Network, SpaceToDepth
from resjax.nn import branches, shortcuts
from resjax.nn.wirings.memory import Memory
from resjax.parts import Parts, layers_of
from resjax.stack import Stack


def assemble(
    parts: Parts,
    stem: type[nn.Stem],
    widths: Sequence[int],
    lengths: Sequence[int],
    squeezes: bool = False,
    shares_first: bool = False,
) -> Network:
    """Stem, stages of these widths (in widths of the stem) and lengths, and head.

    A stage whose first block changes the shape is two stacks.

    Raises:
      ValueError: parts that do not fit each other.
    """
    dense = stem is nn.DenseStem
    _check(parts, dense, squeezes)
    connection = parts.styled(parts.connection)
    stages: list[Stack | SpaceToDepth] = []
    before = parts.width
    for stage, (width, length) in enumerate(zip(widths, lengths, strict=True)):
        features = parts.width * width * getattr(parts.branch, "expansion", 1)
        stride = 2 if stage else 1
        if squeezes and stage:
            stages.append(SpaceToDepth(stride))
        elif not dense and ((features, stride) != (before, 1) or (shares_first and not stage)):
            stages.append(Stack(transition(parts, connection, features, stride), 1, parts.remat))
            length -= 1
        if length:
            stages += stacks(parts, lambda parts: (block(parts, parts.inner),), length)
        before = features
    if parts.projections:
        stages = _with_projections(parts, stages)
    return Network(
        parts.styled(stem(width=parts.width)), tuple(stages), parts.styled(head(parts)), parts.stream or parts.dtype
    )


def stacks(parts: Parts, blocks: Callable[[Parts], tuple[nn.Block, ...]], turns: int) -> list[Stack]:
    """The blocks that take so many turns: one stack, or two where the first have another order."""
    share, order = parts.opening or (0.0, parts.order)
    first = int(share * turns)
    parted = ((dataclasses.replace(parts, order=order), first), (parts, turns - first))
    found = [(blocks(own), count) for own, count in parted if count]
    if parts.looped and len(found) > 1:
        raise ValueError("looped=True: goes without an order whose first blocks have another, for all are one block")
    return [Stack(kinds, count * len(kinds), parts.remat, parts.looped) for kinds, count in found]


def block(parts: Parts, branch: linen.Module) -> nn.Block:
    """A block that keeps the shape of the stream."""
    return nn.Block(branch, parts.styled(parts.connection).beside(branch), parts.pointwise("after"), **parts.kept)


def head(parts: Parts) -> nn.Head:
    """The head, without the network's style."""
    return nn.Head(classes=parts.classes, pooled=parts.pooled)


def transition(parts: Parts, connection: nn.Connection, features: int, stride: int) -> nn.Transition:
    """The block that opens a stage of so many features with this stride.

    The two ways share what stands before the branch. The shortcut is the identity where the shape stays. A plain
    network's is used by lesions alone: it has no weights, which nothing would train.
    """
    keeps = (features, stride) == (parts.width, 1)
    shortcut = shortcuts.Pad() if keeps or not connection.skip else parts.shortcut
    if isinstance(connection, nn.Projected):  # its projection leads to the new shape: a second would be one too many
        shortcut = connection.shortcut
        connection = connection.inner
    return nn.Transition(
        parts.styled(parts.branch, features=features, stride=stride, order=parts.order._replace(before=())),
        connection,
        parts.pointwise("after"),
        shortcut=parts.styled(shortcut, features=features, stride=stride),
        before=parts.pointwise("before"),
        **parts.kept,
    )


def _check(parts: Parts, dense: bool, squeezes: bool):
    kind = type(parts.branch)
    if kind in (branches.Dense, branches.Basic, branches.Bottleneck) and dense != (kind is branches.Dense):
        raise ValueError(f"branch {kind.__name__}: not for this network, whose stream has another shape")
    if isinstance(parts.branch, nn.Attention | nn.Parallel):
        raise ValueError(f"branch {kind.__name__}: goes with tokens; use a transformer")
    if dense and isinstance(parts.shortcut, shortcuts.MaxPool):
        raise ValueError("shortcut MaxPool: not for this network, whose stream is no image")
    if not dense and layers_of(parts.inner) != layers_of(parts.branch):
        raise ValueError(
            f"block {type(parts.block).__name__}: needs as many layers as the branch, beside which it stands: "
            f"{layers_of(parts.branch)}"
        )
    if isinstance(parts.connection, Memory) and (parts.projections or not dense):
        name = type(parts.connection).__name__
        raise ValueError(f"connection {name}: its memory goes with blocks that all keep the shape, as those of dense")
    if squeezes and parts.connection.widens:
        raise ValueError(f"connection {type(parts.connection).__name__}: goes with networks whose pixels stay pixels")
    if isinstance(parts.connection, nn.ValueResidual):
        raise ValueError("connection ValueResidual: goes with the attention of transformers, whose values it keeps")
    if parts.opening and not dense:
        raise ValueError("an order whose first blocks have another: goes with a network of one stage, as dense")
    if parts.activation is nn.crelu and "activation" in parts.order.end + parts.order.after:
        raise ValueError("activation crelu: doubles the stream behind every block of this order; use PRE")


def _with_projections(parts: Parts, stages: list[Stack | SpaceToDepth]) -> list[Stack | SpaceToDepth]:
    """The stages, split so that `parts.projections` of the blocks that keep the size have the shortcut, too.

    Raises:
      ValueError: there are fewer such blocks, they have no skip, or all of them have the shortcut already.
    """
    keeping = [stage for stage in stages if isinstance(stage, Stack) and not _opens(stage)]
    if not keeping:
        raise ValueError(f"projections={parts.projections}: no block keeps the size; use 0")
    if parts.looped:
        raise ValueError(f"projections={parts.projections}: go without looped=True, for all blocks are one; use 0")
    connection = keeping[0].blocks[0].connection
    if not connection.skip or isinstance(connection, nn.Projected):
        why = "all have one" if connection.skip else "none has a skip"
        raise ValueError(f"projections={parts.projections}: of the blocks of {type(connection).__name__} {why}; use 0")
    keep = sum(stack.length for stack in keeping)
    if parts.projections > keep:
        raise ValueError(f"projections={parts.projections}: at most {keep}, the blocks that keep the size")
    chosen = {(2 * place + 1) * keep // (2 * parts.projections) for place in range(parts.projections)}
    projected = nn.Projected(connection, parts.styled(parts.shortcut))
    numbers = itertools.count()
    found: list[Stack | SpaceToDepth] = []
    for stage in stages:
        found += _split(stage, projected, chosen, numbers) if stage in keeping else [stage]
    return found


def _split(stack: Stack, projected: nn.Connection, chosen: set[int], numbers: Iterator[int]) -> Iterator[Stack]:
    """The stack, in pieces of blocks with and without a projection."""
    (block,) = stack.blocks
    for has, run in itertools.groupby(next(numbers) in chosen for _ in range(stack.length)):
        here = block.clone(connection=projected) if has else block
        yield dataclasses.replace(stack, blocks=(here,), length=len(list(run)))


def _opens(stack: Stack) -> bool:
    return isinstance(stack.blocks[0], nn.Transition)
