"""Where the formulas of wide networks hold, and what they say of a trial (see `resjax.theory`)."""

import math

from resjax import theory
from resjax.lab.config import Architecture
from resjax.lab.trial import Variant
from resjax.network import Network

NEAR = 0.25  # the largest share of the variance that a block may add for the formula of κ
NORMS = ("none", "batch", "layer", "rms")


def holds(options: Architecture, initializer: str, norm: str) -> bool:
    """Whether the formulas are of such networks: dense ReLU layers with pre-activation and He's weights."""
    chosen = options.network, options.block, options.activation, options.order, options.bias_initializer
    bare = not (options.projections or options.spectral_norm)
    return chosen == ("dense", "", "relu", "pre", "zeros") and bare and initializer == "he_normal" and norm in NORMS


def branch_scale(network: Network) -> float:
    """What F(x) is multiplied by at the start; nan where it is no constant."""
    factors = theory.paths(network.blocks[0].connection, network.length)
    if factors is None or len(set(factors[1].tolist())) > 1:
        return math.nan
    return float(factors[1][0] ** 0.5)


def condition(trial: Variant, network: Network, square: float) -> float:
    """κ of all blocks at the start, of wide blocks near the identity; nan where there is no formula.

    Args:
      trial, network: what it is of.
      square: the mean square of the stream before the blocks.
    """
    factors = theory.paths(network.blocks[0].connection, network.length)
    near = factors is not None and (factors[0] == 1).all() and (factors[1] <= NEAR).all()
    if not near or not holds(trial, trial.initializer, trial.norm):
        return math.nan
    return float(theory.condition(factors[1], trial.norm, network.length, network.blocks[0].branch.layers, square))
