"""How the correlation of gradients at two inputs falls with depth, as Balduzzi et al. 2017 have it, and here."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from resjax.theory.kernels import gradient_correlation
from resjax.theory.mean_squares import normalized_residual

VARYING = {"Balduzzi et al.": 1.0, "κ₀, centred variance": 1 - 1 / np.pi}  # see `normalized_residual`


def correlations(length: int, betas: Sequence[float]) -> dict[str, Float[np.ndarray, "lines {length}+1"]]:
    """The correlation after 0 … length ReLU layers, a line a kind of network.

    "Balduzzi et al." (arXiv 1702.08591): plain and residual networks whose means are taken away, 2^−L and (3/4)^L, and
    residual ones with batch norm and these β. "κ₀, centred variance": plain networks without a norm, and the last ones
    with the variance that a branch has over a batch.
    """
    layers = np.arange(length + 1)
    lines = {
        "Balduzzi et al.": [0.5**layers, 0.75**layers],
        "κ₀, centred variance": [gradient_correlation(0.0, length)],
    }
    for beta in betas:
        for name, varying in VARYING.items():
            variance, covariance = normalized_residual(beta, length, varying)
            lines[name].append(covariance / variance)
    return {name: np.array(own) for name, own in lines.items()}
