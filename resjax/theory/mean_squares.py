"""How the mean squares of stream and gradient grow from block to block of wide ReLU networks."""

import numpy as np
from jaxtyping import ArrayLike, Float, Real


def by_block(value: Real[ArrayLike, "..."], length: int) -> list[float]:
    """A number, or one a block, as one a block: L."""
    return np.broadcast_to(np.asarray(value, float), length).tolist()


def growth(
    direct: Real[ArrayLike, "..."],
    branch: Real[ArrayLike, "..."],
    norm: str,
    length: int,
    layers: int,
    start: float = 1.0,
) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, " L"]]:
    """Mean squares of stream and gradient before each block of √direct·x + √branch·F(x).

    F is `layers` times norm, ReLU, He weights. Without a norm F(x) is as large as x; with one it has mean
    square 1, and the gradient through it is divided by the stream's variance. Batch norm divides by the
    variance *over the batch*, of which what comes out of a ReLU layer has only 1 − 1/π, the rest of its
    mean square being a constant: so each further layer of a branch multiplies the gradient by π/(π − 1)
    (Yang et al. 2019, arXiv 1902.08129, find this rate for plain networks).

    Args:
      direct, branch: numbers, or one a block, as from `paths`.
      norm: none, batch, or any other name for norms of each example.
      length: L.
      layers: of a branch.
      start: the mean square of the stream before the first block.

    Returns:
      activation mean square, from `start` on; gradient mean square, 1 before the last block.
    """
    squares, shares = squares_and_shares(direct, branch, norm, length, layers, start)
    backward = np.cumprod(np.append(1.0, (direct + shares)[-2::-1]))[::-1]  # from before the last block on
    return squares, backward


def squares_and_shares(
    direct: Real[ArrayLike, "..."],
    branch: Real[ArrayLike, "..."],
    norm: str,
    length: int,
    layers: int,
    start: float,
) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, " L"]]:
    """By block: the stream's mean square before it, and what its branch adds to a gradient's mean square of 1.

    The arguments are those of `growth`.
    """
    varying = 1 - 1 / np.pi if norm == "batch" else 1.0
    square = start
    variance = start
    squares = []
    shares = []
    for past, through in zip(by_block(direct, length), by_block(branch, length), strict=True):
        squares.append(square)
        if norm == "none":
            shares.append(through)
            square *= past + through
        else:
            shares.append(through * varying ** (1 - layers) / variance)
            square = past * square + through
            variance = past * variance + through * varying
    return np.array(squares), np.array(shares)


def normalized_residual(
    beta: float, length: int, varying: float = 1.0
) -> tuple[Float[np.ndarray, " {length}+1"], Float[np.ndarray, " {length}+1"]]:
    """Variance and covariance of the gradients of x + βWρ(BN(x)) at two inputs, 0 … length blocks.

    The stream's variance before block l is 1 + β²l, by which the norm divides: a block multiplies the
    gradient's variance by 1 + β²/(1 + β²l), which makes 1 + β²L, and the covariance, half of whose units
    are on for one input alone, by 1 + ½β²/(1 + β²l), which makes about β√L (Balduzzi et al.). Of a
    branch's mean square only `varying` = 1 − 1/π is variance over the batch (see `growth`), so the
    stream's is 1 + (1 − 1/π)β²l, and with β = 1 the gradients grow and part faster.
    """
    ratio = beta**2 / (1 + varying * beta**2 * np.arange(length))
    variance, covariance = (np.concatenate([[1.0], np.cumprod(1 + ratio * share)]) for share in (1, 0.5))
    return variance, covariance
