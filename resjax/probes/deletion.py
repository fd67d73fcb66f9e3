"""Lesions: blocks deleted from a trained network, or moved (Veit et al. 2016, arXiv 1605.06431).

A lesion is data, never another network: `Layers.keep` says which blocks are there, `Layers.order` which
block stands at each place, and one compiled program serves them all. A block that changes the shape of
the stream can be neither deleted nor moved, for what is behind it would not fit; only its branch can be
left out (`keep` False leaves its shortcut).
"""

import functools

import jax
import numpy as np
import pandas as pd
from jax import lax
from jaxtyping import Array, Bool, Int, PRNGKeyArray, Shaped
from scipy.stats import kendalltau

from resjax.layers import Layers
from resjax.network import Network
from resjax.probes.lesion_checks import Numbers, branches, check_deletions, movable
from resjax.training.evaluation import evaluate_batch


def lesions(
    network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."], labels: Shaped[Array, "B ..."]
) -> pd.DataFrame:
    """A table of what a network is without each of its blocks, in evaluation: a row a block, after one of the whole.

    Columns: `kind`, none for the whole network, delete, or branch where a block changes the shape, so that its branch
    alone is left out (of blocks with a skip; nothing has trained the shortcut of others); `block`, from 0, empty for
    none; `loss`, the mean cross-entropy; `accuracy`, a share.

    Args:
      network, params, state: the network, and what training left.
      x, labels: over which the means are taken, one batch.
    """
    kinds = {int(block): "delete" for block in np.concatenate(movable(network))}
    for block in branches(network):
        kinds[int(block)] = "branch"
    chosen = sorted(kinds)
    keep = np.stack([deletion(network.length, blocks) for blocks in ([], *([block] for block in chosen))])
    loss, accuracy = jax.device_get(_losses(network, params, state, x, labels, keep))
    kind = ["none", *(kinds[block] for block in chosen)]
    block = pd.array([None, *chosen], "Int64")
    return pd.DataFrame({"kind": kind, "block": block, "loss": loss, "accuracy": accuracy})


@functools.partial(jax.jit, static_argnames="network")
def _losses(network: Network, params, state, x, labels, keep):
    """Mean loss and accuracy of each lesion, keep N L: N, N."""

    def one(keep):
        losses, hits = evaluate_batch(network, params, state, x, labels, Layers(keep=keep))
        return losses.mean(), hits.mean()

    return lax.map(one, keep)


def deletion(length: int, blocks: Numbers) -> Bool[np.ndarray, " {length}"]:
    """`Layers.keep` without these blocks."""
    return ~np.isin(np.arange(length), np.asarray(blocks))


def random_deletions(key: PRNGKeyArray, network: Network, count: int, draws: int) -> Bool[np.ndarray, "{draws} L"]:
    """So many draws of `Layers.keep` without `count` blocks.

    Raises:
      ValueError: fewer blocks than that can be deleted.
    """
    check_deletions(network, count)
    blocks = np.concatenate(movable(network))
    shuffled = blocks[np.asarray(jax.random.uniform(key, (draws, len(blocks)), np.float32)).argsort()]
    return np.stack([deletion(network.length, chosen) for chosen in shuffled[:, :count]])


def pairs(network: Network) -> Int[np.ndarray, "pairs 2"]:
    """All pairs of places whose blocks can be swapped, both of one kind in one stage.

    Raises:
      ValueError: there is none.
    """
    found = np.concatenate([group[np.stack(np.triu_indices(len(group), 1), axis=1)] for group in movable(network)])
    if not len(found):
        raise ValueError("the network has no two blocks in one stage that could be swapped")
    return found


def swaps(key: PRNGKeyArray, network: Network, count: int) -> Int[np.ndarray, " L"]:
    """`Layers.order` after `count` random pairs of places, one after the other, have swapped their blocks."""
    possible = pairs(network)
    order = np.arange(network.length)
    for pair in possible[np.asarray(jax.random.randint(key, (count,), 0, len(possible), np.int32))]:
        order[pair] = order[pair[::-1]]
    return order


def kendall_tau(order: Numbers) -> float:
    """Kendall's rank correlation of an order with the one of training: 1 where nothing moved, −1 for the reverse."""
    return float(kendalltau(range(len(order)), order).statistic)
