"""What `ensembles` computes: the predictions of several networks, averaged, whole and with a block deleted."""

import functools
import itertools
import math
import pathlib

import jax
import numpy as np
from jax import lax

from resjax.cost import forward_flops
from resjax.lab import trial
from resjax.lab.config import Point
from resjax.lab.plan import plan
from resjax.layers import Layers
from resjax.network import Network
from resjax.training import evaluation
from resjax.training.step import member

BINS = 15  # of confidence, for the calibration error
MEASURES = (
    *("accuracy", "loss", "calibration_error", "member_accuracy", "member_loss", "disagreement"),
    *("lesion_loss", "lesion_error"),
)


def measure(point, trained: Point, folder: pathlib.Path, diverged: list[int | None]) -> dict:
    """The columns of the table that a system's networks decide.

    Args:
      point: the system.
      trained, folder: its networks, and where `trial.train` left them.
      diverged: by network, the step at which it diverged, or None.
    """
    network, _, dataset = plan(trained)
    sound = [at for at, step in enumerate(diverged) if step is None]
    flops = 3 * forward_flops(network, jax.ShapeDtypeStruct((1, *dataset.train.shape), np.float32))
    row = {
        "members": point.members,
        "training_gigaflops": flops * trained.batch_size * trained.steps * len(diverged) / 1e9,
        "diverged": len(diverged) - len(sound),
    }
    if not sound:
        return row | dict.fromkeys(MEASURES, math.nan)
    _, carry, _ = trial.trained(trained, folder)
    weights = [member(carry[:2], at) for at in sound] if trained.num_seeds else [carry[:2]]

    deletable = np.flatnonzero(~np.array(network.transitions))
    shares_weights = point.members > len(diverged)
    every = np.ones((1, network.length), bool)
    alive = sub_networks(point, deletable, every) if shares_weights else [every] * len(sound)
    members = list(zip(itertools.cycle(weights), alive, strict=False))
    labels = np.concatenate([np.asarray(labels) for _, labels in dataset.test.all(evaluation.BATCH)])
    labels = labels[: len(dataset.test)]

    whole = np.concatenate([predict(network, own, dataset.test, mask) for own, mask in members])  # M N K
    deleted = np.arange(network.length) != deletable[:, None]  # a block a row
    lesioned = (predict(network, own, dataset.test, mask & deleted) for own, mask in members)  # M times D N K
    if shares_weights:  # a block that is deleted is deleted in all
        harmed = [sum(lesioned) / len(members)]
    else:
        harmed = [whole.mean(0) + (other - one) / len(whole) for one, other in zip(whole, lesioned, strict=True)]
    return row | scores(whole, np.concatenate(harmed), labels)


def sub_networks(point, deletable, every) -> list[np.ndarray]:
    """Masks, 1 L each, of the system's sub-networks: each is without a random share of the blocks."""
    draw = np.random.default_rng(point.seed)
    count = round(point.left_out * len(deletable))
    return [
        np.where(np.isin(range(every.size), draw.permutation(deletable)[:count]), False, every)
        for _ in range(point.members)
    ]


def predict(network: Network, weights, split, alive) -> np.ndarray:
    """The probabilities that the network has for a split's images with these masks (A L): A N K."""
    parts = [np.asarray(_predict(network, *weights, images, alive)) for images, _ in split.all(evaluation.BATCH)]
    return np.concatenate(parts, axis=1)[:, : len(split)]


@functools.partial(jax.jit, static_argnums=0)
def _predict(network: Network, params, state, images, alive):
    return lax.map(lambda mask: jax.nn.softmax(network.apply(params, state, images, Layers(keep=mask))[0]), alive)


def scores(members: np.ndarray, harmed: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The measures of an ensemble: from its members' probabilities M N K, and from its own after each lesion, D N K."""
    members = members.astype(np.float64)
    harmed = harmed.astype(np.float64)
    ensemble = members.mean(0)
    answers = members.argmax(-1)  # M N
    pairs = [(one != other).mean() for one, other in itertools.combinations(answers, 2)]
    whole, alone, after = ((np.argmax(p, -1) == labels).mean(-1) for p in (ensemble, members, harmed))
    found = {
        "accuracy": whole,
        "loss": cross_entropy(ensemble, labels),
        "calibration_error": calibration_error(ensemble, labels),
        "member_accuracy": alone.mean(),
        "member_loss": np.mean([cross_entropy(one, labels) for one in members]),
        "disagreement": np.mean(pairs) if pairs else math.nan,
        "lesion_loss": np.mean([cross_entropy(one, labels) for one in harmed]) - cross_entropy(ensemble, labels),
        "lesion_error": whole - after.mean(),
    }
    return {name: float(value) for name, value in found.items()}


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of −log p of the true class, from N K."""
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-30)).mean()


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """How far confidence and accuracy are apart, mean over images in bins of confidence (Guo et al. 2017, eq. 3)."""
    confidence = probabilities.max(-1)
    right = probabilities.argmax(-1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return sum(abs((right - confidence)[place == at].sum()) for at in range(BINS)) / len(labels)
