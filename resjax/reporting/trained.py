"""What is seen of a trained network: what a block is worth, how long the gradient's paths are, the loss around it."""

import math
from typing import Any

import jax
from jaxtyping import PRNGKeyArray, Shaped

from resjax.network import Network
from resjax.probes import blocks, deletion, path_lengths, surroundings
from resjax.reporting.checks import NONE, Check

EXAMPLES = 64
SAMPLES = 2  # paths of each length
AROUND = surroundings.Sampling(
    resolution=11, radius=1.0, lines=4, lanczos=10, curvature_points=1, level=1.0, highest=10.0
)


def read(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Any, "B ..."],
    labels: Shaped[Any, "B ..."],
    key: PRNGKeyArray,
) -> dict[str, float]:
    """Numbers of a trained network.

    Returns:
      lesion, the mean over the blocks of what the loss grows by without one, in nats; path_low and path_high, in
      blocks, the central 95 % of the gradient's paths by what they bring; lambda_max and lambda_min, of the Hessian;
      and convexity, the share of the chords of random lines that are nowhere under the loss.
    """
    lesions = deletion.lesions(network, params, state, x, labels)["loss"]
    around = surroundings.at_weights(surroundings.Centre(network, params, state, x, labels, key), AROUND)
    low, high = _paths(network, params, state, x, labels, key)
    found = {"lesion": float(lesions.iloc[1:].mean() - lesions.iloc[0]), "path_low": low, "path_high": high}
    return found | {name: around[name] for name in ("lambda_max", "lambda_min", "convexity")}


def _paths(network: Network, params, state, x, labels, key) -> tuple[float, float]:
    """The shortest and the longest of the central ones."""
    network, x = blocks.embedded(network, params, state, x)
    with jax.enable_x64(True):  # the gradients of long paths leave the range of float32
        table = path_lengths.paths(network, params, state, x.astype("float64"), labels, key, SAMPLES)
    low, high = path_lengths.central(table["contribution"].to_numpy())
    return float(low), float(high)


def checks(found: dict[str, float], length: int) -> list[Check]:
    """The checks of a trained network of so many blocks, without a judgement."""
    known = {
        "lesions": (
            found["lesion"],
            f"{found['lesion']:+.2g} nats without a block",
            "what a block is worth",
            "lesions",
        ),
        "paths": (
            found["path_high"],
            f"{found['path_low']:.0f} to {found['path_high']:.0f} of {length} blocks",
            "the gradient comes along paths of these lengths (Veit et al. 2016)",
            "paths",
        ),
        "landscape": (
            found["convexity"],
            f"convex {100 * found['convexity']:.0f} %, λ {found['lambda_min']:.2g} to {found['lambda_max']:.2g}",
            "how convex the loss is around the end of training, and how curved",
            "landscape",
        ),
    }
    return [
        Check(name, value, shown, NONE, "no limit", reason, experiment)
        for name, (value, shown, reason, experiment) in known.items()
        if not math.isnan(value)
    ]
