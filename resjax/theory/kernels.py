"""How alike two inputs, and their gradients, are after some ReLU layers.

κ0 and κ1 are the arc-cosine kernels of degree 0 and 1 (Cho & Saul 2009): for Gaussian inputs at cosine c
to ReLU units, κ0 is twice the share of units that both inputs switch on, κ1 the cosine behind them.
"""

from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Float, Real

from resjax.theory.mean_squares import by_block


def kappa0(c: Real[ArrayLike, "..."]) -> Real[ArrayLike, "..."]:
    """κ0(c) = 1 − arccos(c)/π."""
    return 1 - np.arccos(np.clip(c, -1, 1)) / np.pi


def kappa1(c: Real[ArrayLike, "..."]) -> Real[ArrayLike, "..."]:
    """κ1(c) = [√(1 − c²) + c(π − arccos c)]/π."""
    c = np.clip(c, -1, 1)
    return (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi


def cosines(
    start: float, length: int, direct: Real[ArrayLike, "..."], branch: Real[ArrayLike, "..."], layers: int = 1
) -> Float[np.ndarray, " {length}+1"]:
    """The cosine between two inputs before each of `length` blocks and behind the last.

    A block is √direct·x + √branch·F(x), where F is `layers` times ReLU, He weights, and leaves x as large as it is;
    direct and branch are numbers, or one a block.
    """
    found = [start]
    for past, through in zip(by_block(direct, length), by_block(branch, length), strict=True):
        c: Any = found[-1]
        for _ in range(layers):
            c = kappa1(c)
        found.append((past * found[-1] + through * c) / (past + through))
    return np.array(found)


def gradient_correlation(start: float, length: int, skip: bool = False) -> Float[np.ndarray, " {length}+1"]:
    """Correlation of the gradients at two inputs of networks of 0 … length blocks of one ReLU layer.

    Σ g·g′ / Σ g² takes κ0(c_l) a block, of a residual one (1 + κ0(c_l))/2, where the cosine c_l grows
    with the layer. Balduzzi et al. take c_l = 0 for all l, hence 2^−L and (3/4)^L: true where every
    unit's mean over the inputs is taken away, as batch norm does.
    """
    direct = float(skip)
    each = (direct + kappa0(cosines(start, length, direct, 1.0)[:-1])) / (direct + 1)
    return np.concatenate([[1.0], np.cumprod(each)])
