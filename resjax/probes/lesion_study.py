"""A lesion study: what a trained network is without some of its blocks, or with its blocks in another order.

After Veit et al. 2016, arXiv 1605.06431. All lesions of a network run in one compiled program.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from resjax.data import Split, Stream
from resjax.layers import Layers
from resjax.network import Network
from resjax.probes import deletion
from resjax.probes.lesion_checks import branches, check_block, check_deletions, check_order, movable
from resjax.random_streams import stream
from resjax.training.evaluation import evaluate

Lesion = tuple[dict[str, Any], np.ndarray, np.ndarray]  # its name in the table; `Layers.keep`; `Layers.order`


@dataclasses.dataclass(frozen=True)
class Lesions:
    """What is done to a network."""

    blocks: tuple[int, ...] | None = None  # deleted in turn, from 0; None: all that can be deleted
    deletions: tuple[int, ...] = ()  # numbers of blocks that are deleted at random
    swapped: tuple[int, ...] = ()  # numbers of random pairs of blocks that swap their places, one after the other
    draws: int = 20  # of each of these numbers
    permutation: tuple[int, ...] | None = None  # one order of all blocks, from 0


def check(network: Network, lesions: Lesions) -> None:
    """Raises ValueError: the network cannot be lesioned so; the message begins with the field and its value."""
    for block in lesions.blocks or ():
        with _named("blocks", block):
            check_block(network, block)
    if lesions.permutation is not None:
        with _named("permutation", lesions.permutation):
            check_order(network, lesions.permutation)
    for count in lesions.deletions:
        with _named("deletions", count):
            check_deletions(network, count)
    if lesions.swapped:
        with _named("swapped", lesions.swapped):
            deletion.pairs(network)


def measure(
    network: Network, params: dict, state: dict, split: Split | Stream, key: PRNGKeyArray, lesions: Lesions
) -> list[dict[str, Any]]:
    """A row for every lesion of a network, after one of the whole network, measured on a split in evaluation.

    Networks of the same number of blocks and the same key have the same random lesions.

    Args:
      network, params, state: the network, and what training left.
      split: over which the means are taken.
      key: of the random lesions.
      lesions: what is done.

    Returns:
      Of each lesion `kind` (none, delete, branch, permutation, delete_random or swap); `count`, of blocks deleted or of
      pairs swapped; `draw`, from 0; `block`, the one that is deleted or left without its branch, else None;
      `kendall_tau` of the order; `loss`, the mean cross-entropy; `accuracy`, a share. Branches alone are left out where
      a block changes the shape of the stream.

    Raises:
      ValueError: from `check`.
    """
    check(network, lesions)
    rows = []
    for row, keep, order in _lesions(network, key, lesions):
        layers = Layers(keep=jnp.asarray(keep), order=jnp.asarray(order, jnp.int32))
        loss, accuracy = evaluate(network, params, state, split, layers=layers)
        tau = deletion.kendall_tau(order) if row["kind"] in ("swap", "permutation") else 1.0
        rows.append({"draw": 0, "block": None, "kendall_tau": tau, "loss": loss, "accuracy": accuracy} | row)
    return rows


def _lesions(network: Network, key: PRNGKeyArray, lesions: Lesions) -> Iterator[Lesion]:
    length = network.length
    whole = deletion.deletion(length, [])
    order = np.arange(length)
    yield {"kind": "none", "count": 0}, whole, order
    for block in np.concatenate(movable(network)) if lesions.blocks is None else lesions.blocks:
        yield {"kind": "delete", "count": 1, "block": int(block)}, deletion.deletion(length, [block]), order
    for block in branches(network):
        yield {"kind": "branch", "count": 1, "block": int(block)}, deletion.deletion(length, [block]), order
    if lesions.permutation is not None:
        yield {"kind": "permutation", "count": 1}, whole, np.array(lesions.permutation)
    for count in lesions.deletions:
        draws = jax.random.fold_in(stream(key, "deletions"), count)
        for draw, keep in enumerate(deletion.random_deletions(draws, network, count, lesions.draws)):
            yield {"kind": "delete_random", "count": count, "draw": draw}, keep, order
    for count in lesions.swapped:
        draws = jax.random.split(jax.random.fold_in(stream(key, "swaps"), count), lesions.draws)
        for draw, own in enumerate(draws):
            yield {"kind": "swap", "count": count, "draw": draw}, whole, deletion.swaps(own, network, count)


@contextlib.contextmanager
def _named(field: str, value: object) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{field}={value}: {error}") from error
