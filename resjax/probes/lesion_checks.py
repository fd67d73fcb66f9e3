"""Which blocks can be deleted, and which order they can have."""

import itertools
from collections.abc import Iterable, Sequence
from typing import SupportsIndex

import numpy as np
from jaxtyping import Int

from resjax.network import Network

Numbers = Sequence[SupportsIndex] | Int[np.ndarray, " numbers"]  # of blocks


def movable(network: Network) -> list[Int[np.ndarray, " group"]]:
    """By stack and kind of block, those that keep the stream's shape: they can be deleted, or change their places."""
    changes = np.array(network.transitions)
    groups = []
    first = 0
    for stack in network.stacks:
        for kind in range(len(stack.blocks)):
            group = np.arange(first + kind, first + stack.length, len(stack.blocks))
            groups.append(group[~changes[group]])
        first += stack.length
    return groups


def branches(network: Network) -> Int[np.ndarray, " blocks"]:
    """The blocks of which the branch alone can be left out: those that change the shape and have a skip.

    Without a skip, training has not touched the shortcut that would be left.
    """
    changing = np.flatnonzero(network.transitions)
    return np.array([block for block in changing if network.blocks[block].connection.skip], int)


def check_deletions(network: Network, count: int) -> None:
    """Raises ValueError: fewer blocks than that can be deleted."""
    most = sum(map(len, movable(network)))
    if count > most:
        raise ValueError(f"the network has {most} blocks that can be deleted")


def check_block(network: Network, block: int) -> None:
    """Raises ValueError: this block does not exist, or changes the shape, so that it cannot be deleted."""
    if block not in range(network.length):
        raise ValueError(f"the network has blocks 0 to {network.length - 1}")
    if network.transitions[block]:
        raise ValueError(
            f"block {block} changes the shape of the stream: it cannot be deleted; "
            f"those that can are {_ranges(sorted(np.concatenate(movable(network)).tolist()))}"
        )


def check_order(network: Network, order: Numbers) -> None:
    """Raises ValueError: no permutation of the blocks of each stage that leaves those that change the shape."""
    length = network.length
    if sorted(order) != list(range(length)):
        raise ValueError(f"is no permutation of the blocks 0 to {length - 1}")
    group = np.arange(length)
    for blocks in movable(network):
        group[blocks] = blocks[:1]
    wrong = np.flatnonzero(group[np.asarray(order)] != group)
    if len(wrong):
        raise ValueError(f"block {order[wrong[0]]} cannot stand at place {wrong[0]}, in another stage")


def _ranges(numbers: Iterable[int]) -> str:
    """0–8, 10–17 for the numbers of both."""
    runs = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    spans = [[number for _, number in run] for _, run in runs]
    return ", ".join(f"{span[0]}–{span[-1]}" if len(span) > 1 else f"{span[0]}" for span in spans)
