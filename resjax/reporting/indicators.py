"""A start in numbers, each of which would be 0 in a network that hands all on as it got it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

INDICATORS = {
    "activations": "log₁₀ of the mean square of activations, before the last block over before the first",
    "gradients": "log₁₀ of the mean square of gradients, towards the first block over towards the last",
    "inputs": "log₁₀ of 1 − the cosine of two inputs, likewise: −∞ where all become one",
    "tokens": "log₁₀ of 1 − the cosine of two tokens, likewise",
    "shattering": "how far the gradients of two inputs, whose cosine is ½, have a smaller cosine at the first block",
    "condition": "log₁₀ of the condition number of the Jacobian of all blocks",
    "contracting": "share of the blocks whose F(x) stretches something at an input, so that no inverse is certain",
    "dead": "the largest share of units that are zero for all inputs",
}
LEAST = 1e-300


def indicators(found: Mapping[str, Any]) -> dict[str, float]:
    """The `INDICATORS` of what `start.read` has found; ±∞ where a number left the range, nan where there is none."""
    activations, gradients, inputs, tokens, shattering, dead = (
        np.asarray(found[name], float)
        for name in (
            *("activation_mean_square", "gradient_mean_square", "input_cosine", "token_cosine", "gradient_cosine"),
            "dead_fraction",
        )
    )
    return {
        "activations": decades(activations[-1], activations[0]),
        "gradients": math.nan
        if gradients[-1] <= LEAST
        else decades(gradients[0], gradients[-1]),  # of a head that is 0
        "inputs": decades(1 - inputs[-1], 1 - inputs[0]),
        "tokens": decades(1 - tokens[-1], 1 - tokens[0]),
        "shattering": float(np.maximum(0.0, 0.5 - shattering[0])),
        "condition": math.nan if np.isnan(found["condition"]) else decades(float(found["condition"]), 1.0),
        "contracting": 1 - float(found["contracting"]),
        "dead": float(np.nanmax(dead)) if np.isfinite(dead).any() else math.nan,
    }


def decades(end: float, start: float) -> float:
    """log₁₀ of end over start; a number that overflowed is +∞, one that underflowed −∞; nan where there is none."""
    if math.isnan(start) and math.isnan(end):
        return math.nan
    if not math.isfinite(end) or not math.isfinite(start):
        return math.inf
    if end <= LEAST or start <= LEAST:  # nothing arrives
        return -math.inf
    return math.log10(end) - math.log10(start)
