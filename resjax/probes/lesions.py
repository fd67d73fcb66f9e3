"""Lesions: blocks deleted from a trained network, or moved (Veit et al. 2016, arXiv 1605.06431).

A lesion is data, never another network: `Layers.alive` says which blocks are there, `Layers.order` which
block stands at each place, and one compiled program serves them all. A block that changes the shape of
the stream can be neither deleted nor moved, for what is behind it would not fit; only its branch can be
left out (`alive` False leaves its shortcut).
"""

import itertools
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import kendalltau

from resjax.errors import UserError
from resjax.networks import Network


def movable(network: Network) -> list[np.ndarray]:
    """By stack, the blocks that keep the stream's shape: those that can be deleted, or moved within the stack."""
    changes = np.array(network.changes_shape)
    stacks = np.split(np.arange(network.length), np.cumsum([stack.length for stack in network.stages])[:-1])
    return [blocks[~changes[blocks]] for blocks in stacks]


def deletion(length: int, blocks: Sequence[int]) -> np.ndarray:
    """`Layers.alive` without these blocks: L bool."""
    return ~np.isin(np.arange(length), blocks)


def random_deletions(key, network: Network, count: int, draws: int) -> np.ndarray:
    """So many draws of `Layers.alive` without `count` blocks: draws L bool.

    Raises:
      UserError: fewer blocks than that can be deleted.
    """
    check_deletions(network, count)
    blocks = np.concatenate(movable(network))
    shuffled = blocks[np.asarray(jax.random.uniform(key, (draws, len(blocks)), jnp.float32)).argsort()]
    return np.stack([deletion(network.length, chosen) for chosen in shuffled[:, :count]])


def pairs(network: Network) -> np.ndarray:
    """All pairs of places whose blocks can be swapped, both in one stage: pairs 2.

    Raises:
      UserError: there is none.
    """
    found = np.concatenate([stage[np.stack(np.triu_indices(len(stage), 1), axis=1)] for stage in movable(network)])
    if not len(found):
        raise UserError("--swapped: the network has no two blocks in one stage that could be swapped")
    return found


def swaps(key, network: Network, count: int) -> np.ndarray:
    """`Layers.order` after `count` random pairs of places, one after the other, have swapped their blocks: L."""
    possible, order = pairs(network), np.arange(network.length)
    for pair in possible[np.asarray(jax.random.randint(key, count, 0, len(possible), jnp.int32))]:
        order[pair] = order[pair[::-1]]
    return order


def kendall_tau(order: Sequence[int]) -> float:
    """Kendall's rank correlation of an order with the one of training: 1 where nothing moved, −1 for the reverse."""
    return float(kendalltau(range(len(order)), order).statistic)


def check_deletions(network: Network, count: int):
    """Raises UserError: fewer blocks than that can be deleted."""
    most = sum(map(len, movable(network)))
    if count > most:
        raise UserError(f"--deletions={count}: the network has {most} blocks that can be deleted")


def check_blocks(network: Network, blocks: Sequence[int]):
    """Raises UserError: one of these blocks does not exist, or changes the shape."""
    for block in blocks:
        if block not in range(network.length):
            raise UserError(f"--blocks={block}: the network has blocks 0 to {network.length - 1}")
        if network.changes_shape[block]:
            raise UserError(
                f"--blocks={block}: block {block} changes the shape of the stream: it cannot be deleted; "
                f"those that can are {_ranges(np.concatenate(movable(network)))}"
            )


def check_order(network: Network, order: Sequence[int]):
    """Raises UserError: no permutation of the blocks of each stage that leaves those that change the shape."""
    length, numbers = network.length, ",".join(map(str, order))
    if sorted(order) != list(range(length)):
        raise UserError(f"--permutation={numbers}: is no permutation of the blocks 0 to {length - 1}")
    group = np.arange(length)
    for stage in movable(network):
        group[stage] = stage[:1]
    wrong = np.flatnonzero(group[np.asarray(order)] != group)
    if len(wrong):
        block, place = order[wrong[0]], wrong[0]
        raise UserError(f"--permutation={numbers}: block {block} cannot stand at place {place}, in another stage")


def _ranges(numbers: Iterable[int]) -> str:
    """0–8, 10–17 for the numbers of both."""
    runs = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    spans = [[number for _, number in run] for _, run in runs]
    return ", ".join(f"{span[0]}–{span[-1]}" if len(span) > 1 else f"{span[0]}" for span in spans)
