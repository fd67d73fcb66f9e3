"""The lines that theory has for transformers at their start, from the network itself: its norms, factors and gains."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from resjax import nn, theory
from resjax.lab import start
from resjax.lab.trial import Start
from resjax.network import Network
from resjax.nn import initializers
from resjax.theory import factors

if TYPE_CHECKING:
    pass

QUANTITIES = {
    "activation_mean_square": "mean_square",
    "token_cosine": "cosine",
    "gradient_mean_square": "gradient_mean_square",
}
VARIANCES = {  # of weights: fan-in's and Xavier's; what they make of an MLP's mean square, by its ratio
    "lecun_normal": lambda ratio: 1.0,
    "lecun_uniform": lambda ratio: 1.0,
    "xavier_normal": lambda ratio: 4 * ratio / (1 + ratio) ** 2,
    "xavier_uniform": lambda ratio: 4 * ratio / (1 + ratio) ** 2,
}


def line(trial: Start, quantity: str) -> Float[np.ndarray, " L"] | None:
    """What theory says of a wide transformer at every block, halfway between its values at the papers' blocks.

    None where it says nothing: of other quantities and networks, and of other activations, weights and norms.
    """
    if quantity not in QUANTITIES or not _known(trial):
        return None
    network = start.plan(trial)
    layers = sublayers(network)
    if layers is None or network.blocks[1].branch.gated:
        return None
    tokens, causal = _tokens(network, trial)
    mlp = VARIANCES[trial.initializer](network.blocks[1].branch.ratio)
    found = getattr(theory.tokens(layers, len(layers), tokens, causal, mlp=mlp), QUANTITIES[quantity])
    halves = np.arange(network.length) / 2
    if quantity == "token_cosine":
        return np.interp(halves, np.arange(len(found)), found)
    values = np.exp(np.interp(halves, np.arange(len(found)), np.log(found)))
    return values / values[-1] if quantity == "gradient_mean_square" else values


def sublayers(network: Network) -> tuple["theory.Sublayer", ...] | None:
    """The network's blocks as numbers, one for each attention and the MLP behind it; None if it has no such blocks."""
    found: list[Any] = []
    first = 0
    for stack in network.stacks:
        if stack.tied or len(stack.blocks) != 2 or not isinstance(stack.blocks[0].branch, nn.Attention):
            return None
        for turn in range(stack.length // 2):
            place = stack.place(first + 2 * turn + 1, network.length)
            found.append(_sublayer(stack.blocks[0], place))
        first += stack.length
    return None if None in found else tuple(found)


def _sublayer(block: nn.Block, place: nn.Place) -> "theory.Sublayer | None":
    known = factors.known(block.connection, place)
    if known is None:
        return None
    order = block.branch.order
    carry, branch = (float(factor) for factor in known)
    if "by_depth" in order.before:  # the branch is homogeneous, and its attention uniform whatever the scale
        branch *= float(place.turn) ** -0.5
    weights = block.branch.initializer
    gain = weights.factor * place.length**-weights.power if isinstance(weights, initializers.Gained) else 1.0
    normed = not isinstance(block.branch.norm, nn.NoNorm)
    stands = {name: normed and "norm" in getattr(order, name) for name in ("before", "end", "after")}
    return theory.Sublayer(**stands, carry=carry, branch=branch, gain=gain)


def _known(trial: Start) -> bool:
    chosen = trial.activation, trial.bias_initializer, trial.block
    return chosen == ("relu", "zeros", "") and trial.initializer in VARIANCES and trial.norm in ("layer", "rms", "none")


def _tokens(network: Network, trial: Start) -> tuple[int, bool]:
    """How many there are, and whether each gets only those before it."""
    if start.of_tokens(trial):
        return trial.inputs[0], True
    height, width, _ = trial.inputs
    return height * width // network.stem.patch**2, False
