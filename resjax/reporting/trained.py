"""What is seen of a trained network: what a block is worth, how long the gradient's paths are, how curved the loss."""

import math
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, Shaped

from resjax.network import Network
from resjax.probes import curvature, deletion, path_lengths
from resjax.reporting.checks import NONE, Check

EXAMPLES = 64
SAMPLES = 2  # paths of each length
LANCZOS = 10  # steps


def read(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Any, "B ..."],
    labels: Shaped[Any, "B ..."],
    key: PRNGKeyArray,
) -> dict[str, float]:
    """Numbers of a trained network, nan where it cannot be asked.

    Returns:
      lesion, the mean over the blocks of what the loss grows by without one, in nats; path_low and path_high, in
      blocks, the central 95 % of the gradient's paths by what they bring; sharpness, the largest eigenvalue of the
      Hessian; and negative, |λ_min / λ_max|.
    """
    return (
        _lesions(network, params, state, x, labels)
        | _paths(network, params, state, x, labels, key)
        | _curvature(network, params, state, x, labels, key)
    )


def _lesions(network: Network, params, state, x, labels) -> dict[str, float]:
    table = deletion.lesions(network, params, state, x, labels)
    whole = table["loss"].iloc[0]
    return {"lesion": float(table["loss"].iloc[1:].mean() - whole)}


def _paths(network: Network, params, state, x, labels, key) -> dict[str, float]:
    try:
        with jax.enable_x64(True):
            inputs = x.astype("float64") if jax.numpy.issubdtype(x.dtype, jax.numpy.floating) else x
            table = path_lengths.paths(network, params, state, inputs, labels, key, SAMPLES)
    except ValueError:  # tokens, and blocks without a skip
        return {"path_low": math.nan, "path_high": math.nan}
    low, high = path_lengths.central(table["contribution"].to_numpy())
    return {"path_low": float(low), "path_high": float(high)}


def _curvature(network: Network, params, state, x, labels, key) -> dict[str, float]:
    values, _ = curvature.eigenvalues(network, params, state, x, labels, key, LANCZOS)
    return {"sharpness": float(values[0]), "negative": float(np.abs(values[-1] / values[0])) if values[-1] < 0 else 0.0}


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
            found["sharpness"],
            f"λ {found['sharpness']:.2g}, |λ_min / λ_max| {found['negative']:.2g}",
            "the curvature of the loss where training ended",
            "landscape",
        ),
    }
    return [
        Check(name, value, shown, NONE, "no limit", reason, experiment)
        for name, (value, shown, reason, experiment) in known.items()
        if not math.isnan(value)
    ]
