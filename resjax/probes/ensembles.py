"""Ensembles: the probabilities of several networks, averaged, whole and with a block deleted.

The members are networks of their own, or sub-networks of one network, each without some of its blocks (Veit et al.
2016, arXiv 1605.06431).
"""

import bisect
import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int

from resjax.cost import parameter_count
from resjax.data import Split, Stream
from resjax.layers import Layers
from resjax.network import Network
from resjax.probes.deletion import deletion
from resjax.training.evaluation import BATCH


def measure(network: Network, members: Sequence[tuple[dict, dict]], split: Split | Stream) -> dict[str, float]:
    """The `scores` of an ensemble on a split, in evaluation. A lesion deletes one block of one member.

    Args:
      network: what all members are.
      members: parameters and state of each, M ≥ 1.
      split: the examples.
    """
    every = np.ones((1, network.length), bool)
    whole = np.concatenate([predict(network, *own, split, every) for own in members])  # M N K
    lesioned = (predict(network, *own, split, _deletions(network)) for own in members)  # M times D N K
    harmed = [(np.delete(whole, at, 0).sum(0) + own) / len(whole) for at, own in enumerate(lesioned)]
    return scores(whole, np.concatenate(harmed), _labels(split))


def measure_sub_networks(
    network: Network, params: dict, state: dict, split: Split | Stream, keep: Bool[np.ndarray, "M L"]
) -> dict[str, float]:
    """The `scores` of an ensemble of sub-networks of one network. A lesion deletes one block of all of them.

    Args:
      network, params, state: the network, and what training left.
      split: the examples.
      keep: `Layers.keep` of each sub-network, as from `random_sub_networks`.
    """
    whole = np.concatenate([predict(network, params, state, split, own[None]) for own in keep])  # M N K
    lesioned = (predict(network, params, state, split, own & _deletions(network)) for own in keep)  # M times D N K
    return scores(whole, functools.reduce(np.add, lesioned) / len(whole), _labels(split))


def random_sub_networks(
    network: Network, left_out: float, members: int, seed: int
) -> Bool[np.ndarray, "{members} {network.length}"]:
    """`Layers.keep` of so many sub-networks, each without a random share of the blocks that can be deleted.

    Args:
      network: the network.
      left_out: the share, from 0 to 1.
      members: how many.
      seed: of the draw.
    """
    draw = np.random.default_rng(seed)
    blocks = _deletable(network)
    count = round(left_out * len(blocks))
    return np.stack([deletion(network.length, draw.permutation(blocks)[:count]) for _ in range(members)])


def as_large(build: Callable[..., Network], width: int, members: int, x: jax.ShapeDtypeStruct) -> int:
    """The width of one network that is nearest in parameters to so many of a given width.

    Args:
      build: the network of a `width`.
      width: of the members.
      members: how many, M ≥ 2.
      x: inputs, by their shape.
    """

    def size(width: int) -> int:
        return parameter_count(jax.eval_shape(build(width=width).init, jax.random.key(0), x)[0])

    target = members * size(width)
    widths = range(width, members * width + 1)  # the last has more, for weights grow with the width's square
    above = bisect.bisect_left(widths, target, key=size)
    return min(widths[above - 1 : above + 1], key=lambda width: abs(size(width) - target))


def predict(
    network: Network, params: dict, state: dict, split: Split | Stream, keep: Bool[np.ndarray, "A L"]
) -> Float[np.ndarray, "A N K"]:
    """The probabilities of the classes of a split's examples, of a network with each of these `Layers.keep`.

    In float64, for they are added: in float32 a confident member would hide what the others say of a class.
    """
    parts = [np.asarray(_predict(network, params, state, inputs, keep), np.float64) for inputs, _ in split.all(BATCH)]
    return np.concatenate(parts, axis=1)[:, : len(split)]


@functools.partial(jax.jit, static_argnames="network")
def _predict(network: Network, params, state, inputs, keep):
    return lax.map(lambda mask: jax.nn.softmax(network.apply(params, state, inputs, Layers(keep=mask))[0]), keep)


def scores(
    members: Float[np.ndarray, "M N K"], harmed: Float[np.ndarray, "D N K"], labels: Int[np.ndarray, " N"]
) -> dict[str, float]:
    """How good an ensemble is, from its members' probabilities, and from its own after each of D lesions.

    Returns:
      `accuracy` and `loss` of the mean of the members; `member_accuracy` and `member_loss`, means
      over the members; `disagreement`, the share of examples for which two members differ, mean over the pairs, nan for
      one member; `lesion_loss` and `lesion_error`, what a lesion adds, mean over the lesions.
    """
    ensemble = members.mean(0)
    answers = members.argmax(-1)  # M N
    pairs = [(one != other).mean() for one, other in itertools.combinations(answers, 2)]
    whole, alone, after = ((np.argmax(p, -1) == labels).mean(-1) for p in (ensemble, members, harmed))
    found = {
        "accuracy": whole,
        "loss": cross_entropy(ensemble, labels),
        "member_accuracy": alone.mean(),
        "member_loss": np.mean([cross_entropy(one, labels) for one in members]),
        "disagreement": np.mean(pairs) if pairs else math.nan,
        "lesion_loss": np.mean([cross_entropy(one, labels) for one in harmed]) - cross_entropy(ensemble, labels),
        "lesion_error": whole - after.mean(),
    }
    return {name: float(value) for name, value in found.items()}


def cross_entropy(probabilities: Float[np.ndarray, "N K"], labels: Int[np.ndarray, " N"]) -> float:
    """The mean of −log p of the true class."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-30)).mean())


def _deletable(network: Network) -> Int[np.ndarray, " D"]:
    return np.flatnonzero(~np.array(network.transitions))


def _deletions(network: Network) -> Bool[np.ndarray, "D L"]:
    """A deleted block a row."""
    return np.arange(network.length) != _deletable(network)[:, None]


def _labels(split: Split | Stream) -> Int[np.ndarray, " N"]:
    return np.concatenate([np.asarray(labels) for _, labels in split.all(BATCH)])[: len(split)]
