"""Where the formulas of wide networks hold, and what they say of a trial (see `resjax.theory`)."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from resjax import theory
from resjax.lab import registry, wide_tokens
from resjax.lab.config import Architecture
from resjax.lab.trial import Start, Variant
from resjax.network import Network

if TYPE_CHECKING:
    import pandas as pd

NEAR = 0.25  # the largest share of the variance that a block may add for the formula of κ
NORMS = ("none", "batch", "layer", "rms")


def keeping(initializer: str, activation: str) -> str:
    """The initialiser; lecun_normal for he_normal where layers are linear, so that these, too, keep the square."""
    return "lecun_normal" if (initializer, activation) == ("he_normal", "identity") else initializer


def holds(options: Architecture, initializer: str, norm: str) -> bool:
    """Whether the formulas are of such networks: dense ReLU layers with pre-activation and He's weights."""
    return _bare(options) and (options.activation, initializer) == ("relu", "he_normal") and norm in NORMS


def _bare(options: Architecture) -> bool:
    """Whether they are dense, with pre-activation and without what no formula knows."""
    chosen = options.network, options.block, options.order, options.bias_initializer
    others = options.projections, options.spectral_norm, options.looped
    return chosen == ("dense", "", "pre", "zeros") and not any(others)


def paths(network: Network) -> Any:
    """`theory.paths` of its blocks."""
    return theory.paths(network.blocks[0].connection, network.length, len(network.stacks[0].blocks))


def branch_scale(network: Network) -> float:
    """What F(x) is multiplied by at the start; nan where it is no constant."""
    factors = paths(network)
    if factors is None or len(set(factors[1].tolist())) > 1:
        return math.nan
    return float(factors[1][0] ** 0.5)


def conditions(trial: Variant, network: Network, square: float) -> dict[str, float]:
    """κ of all blocks at the start, of wide blocks near the identity, by both laws; nan where there is none.

    Args:
      trial, network: what it is of.
      square: the mean square of the stream before the blocks.

    Returns:
      condition_gaussian, of independent blocks: linear layers are such, and ReLU's if their units were drawn anew;
      condition_relu, of blocks whose units mostly stay on or off, without a norm.
    """
    factors = paths(network)
    near = factors is not None and (factors[0] == 1).all() and (factors[1] <= NEAR).all()
    relu = holds(trial, trial.initializer, trial.norm)
    linear = _bare(trial) and (trial.activation, trial.initializer, trial.norm) == ("identity", "lecun_normal", "none")
    found = {"condition_gaussian": math.nan, "condition_relu": math.nan}
    if near and (relu or linear):
        layers = network.blocks[0].branch.layers
        found["condition_gaussian"] = float(theory.condition(factors[1], trial.norm, network.length, layers, square))
        if relu and trial.norm == "none":
            found["condition_relu"] = theory.relu_condition(tuple(factors[1].tolist()), layers)
    return found


def line(options: Architecture, family: "pd.DataFrame", quantity: str) -> Float[np.ndarray, " L"] | None:
    """What theory says of the networks of one depth at every block; None where it says nothing.

    Args:
      options: what they are made of.
      family: their rows in the table of `signal_propagation`.
      quantity: activation_mean_square, gradient_mean_square or input_cosine.
    """
    known = {field.name for field in dataclasses.fields(Start)} & set(family.columns)
    chosen = family[list(known)].head(1).to_dict("records")[0]
    of_tokens = wide_tokens.line(Start.of(options, **chosen), quantity)
    if of_tokens is not None:
        return of_tokens
    connection, norm, initializer, depth = (chosen[name] for name in ("connection", "norm", "initializer", "depth"))
    first = family[family["layer"] == family["layer"].min()]
    length = family["layer"].nunique()
    start = first["activation_mean_square"].mean()
    layers = (depth - 2) // length
    factors = theory.paths(registry.connection(connection), length)
    if options.looped:
        linear = (options.activation, initializer, norm) == ("identity", "lecun_normal", "none")
        usual = linear and quantity == "activation_mean_square" and _bare(dataclasses.replace(options, looped=False))
        return _looped_squares(factors, length, start) if usual else None
    if not holds(options, initializer, norm) or factors is None:
        return None
    if quantity != "input_cosine":
        squares, gradients = theory.growth(*factors, norm, length, layers, start)
        return squares if quantity == "activation_mean_square" else gradients
    equally_large = norm == "none" or (norm != "batch" and not factors[0].any())  # all inputs stay so
    return theory.cosines(first["input_cosine"].mean(), length, *factors, layers)[:-1] if equally_large else None


def _looped_squares(factors: Any, length: int, start: float) -> Float[np.ndarray, " L"] | None:
    """Of linear blocks that share their weights, where the stream is multiplied by 1 and all branches by one number."""
    if factors is None or (factors[0] != 1).any() or len(set(factors[1].tolist())) > 1:
        return None
    return start * theory.looped_squares(float(factors[1][0] ** 0.5), length)[:-1]
