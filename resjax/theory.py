"""What is known of networks at their start as the width grows: the lines in the figures.

κ0 and κ1 are the arc-cosine kernels of degree 0 and 1 (Cho & Saul 2009): for Gaussian inputs at cosine c
to ReLU units, κ0 is twice the share of units that both inputs switch on, κ1 the cosine behind them.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma

from resjax.connections import Connection, Plain, Projection, Residual, ReZero, Scaled
from resjax.errors import UserError

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(201)  # for means over a normal distribution
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def kappa0(c):
    """κ0(c) = 1 − arccos(c)/π."""
    return 1 - np.arccos(np.clip(c, -1, 1)) / np.pi


def kappa1(c):
    """κ1(c) = [√(1 − c²) + c(π − arccos c)]/π."""
    c = np.clip(c, -1, 1)
    return (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi


def cosines(start: float, length: int, direct: float, branch: float, layers: int = 1) -> np.ndarray:
    """The cosine between two inputs before each of `length` blocks and behind the last: length + 1.

    A block is √direct·x + √branch·F(x), where F is `layers` times ReLU, He weights, and leaves x as large as it is.
    """
    found = [start]
    for _ in range(length):
        c = found[-1]
        for _ in range(layers):
            c = kappa1(c)
        found.append((direct * found[-1] + branch * c) / (direct + branch))
    return np.array(found)


def gradient_correlation(start: float, length: int, skip: bool = False) -> np.ndarray:
    """Correlation of the gradients at two inputs of networks of 0 … length blocks of one ReLU layer: length + 1.

    Σ g·g′ / Σ g² takes κ0(c_l) a block, of a residual one (1 + κ0(c_l))/2, where the cosine c_l grows
    with the layer. Balduzzi et al. take c_l = 0 for all l, hence 2^−L and (3/4)^L: true where every
    unit's mean over the inputs is taken away, as batch norm does.
    """
    direct = float(skip)
    each = (direct + kappa0(cosines(start, length, direct, 1.0)[:-1])) / (direct + 1)
    return np.concatenate([[1.0], np.cumprod(each)])


def normalized_residual(beta: float, length: int, varying: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Variance and covariance of the gradients of x + βWρ(BN(x)) at two inputs, 0 … length blocks: length + 1 each.

    The stream's variance before block l is 1 + β²l, by which the norm divides: a block multiplies the
    gradient's variance by 1 + β²/(1 + β²l), which makes 1 + β²L, and the covariance, half of whose units
    are on for one input alone, by 1 + ½β²/(1 + β²l), which makes about β√L (Balduzzi et al.). Of a
    branch's mean square only `varying` = 1 − 1/π is variance over the batch (see `growth`), so the
    stream's is 1 + (1 − 1/π)β²l, and with β = 1 the gradients grow and part faster.
    """
    ratio = beta**2 / (1 + varying * beta**2 * np.arange(length))
    return tuple(np.concatenate([[1.0], np.cumprod(1 + ratio * share)]) for share in (1, 0.5))


def paths(connection: Connection) -> tuple[float, float] | None:
    """The squares of the factors with which x and F(x) enter at the start; None where they are no constants."""
    match connection:
        case Projection():
            return None
        case Connection(always=True, shortcut=shortcut) if shortcut != "pad":
            return None
        case Scaled():
            return connection.alpha**2, (connection.beta * connection.length**-connection.power) ** 2
        case ReZero():
            return 1.0, connection.alpha**2
        case Plain() | Residual():
            return float(isinstance(connection, Residual)), 1.0
    return None


def growth(direct: float, branch: float, norm: str, length: int, layers: int, start: float = 1.0):
    """Mean squares of stream and gradient before each block of √direct·x + √branch·F(x).

    F is `layers` times norm, ReLU, He weights. Without a norm F(x) is as large as x; with one it has mean
    square 1, and the gradient through it is divided by the stream's variance. Batch norm divides by the
    variance *over the batch*, of which what comes out of a ReLU layer has only 1 − 1/π, the rest of its
    mean square being a constant: so each further layer of a branch multiplies the gradient by π/(π − 1)
    (Yang et al. 2019, arXiv 1902.08129, find this rate for plain networks).

    Returns:
      activation mean square, from `start` on; gradient mean square, 1 before the last block: length each.
    """
    squares, shares = _blocks(direct, branch, norm, length, layers, start)
    backward = np.cumprod(np.append(1.0, (direct + shares)[-2::-1]))[::-1]  # from before the last block on
    return squares, backward


def _blocks(direct: float, branch: float, norm: str, length: int, layers: int, start: float):
    """By block: the stream's mean square before it, and what its branch adds to a gradient's mean square of 1."""
    varying = 1 - 1 / np.pi if norm == "batch" else 1.0
    square, variance, squares, shares = start, start, [], []
    for _ in range(length):
        squares.append(square)
        if norm == "none":
            shares.append(branch)
            square *= direct + branch
        else:
            shares.append(branch * varying ** (1 - layers) / variance)
            square = direct * square + branch
            variance = direct * variance + branch * varying
    return np.array(squares), np.array(shares)


def condition(branch: float, norm: str, length: int, layers: int, start: float = 1.0) -> float:
    """The condition number of the Jacobian of many wide blocks x + √branch·F(x), each near the identity.

    That is Π(1 + A_l) with independent Gaussian A_l, s the sum over l of what A_l makes of a unit vector's square:
    κ = (1 + s + √(s² + 2s)) e^√(s² + 2s), by free probability (S-transform), whatever the depth.
    """
    s = _blocks(1.0, branch, norm, length, layers, start)[1].sum()
    root = np.sqrt(s**2 + 2 * s)
    return (1 + s + root) * np.exp(root)


def mean_field(weight_variance: float, bias_variance: float = 0.0) -> tuple[float, float]:
    """q*, the variance of a unit that wide tanh layers keep, and χ1 = σ_w² E[φ′(√q* z)²] there.

    χ1 is what a layer multiplies the gradient's mean square by; 1 is the edge of chaos
    (Schoenholz et al. 2017, arXiv 1611.01232, eqs. 3 and 6).

    Raises:
      UserError: a negative variance.
    """
    if weight_variance < 0 or bias_variance < 0:
        raise UserError(f"variances {weight_variance} and {bias_variance}: must not be negative")

    def grown(q: float) -> float:
        return weight_variance * (WEIGHTS * np.tanh(np.sqrt(q) * NODES) ** 2).sum() + bias_variance - q

    ordered = bias_variance == 0 and weight_variance <= 1  # then only q = 0 stays
    q = 0.0 if ordered else brentq(grown, 1e-12, weight_variance + bias_variance + 1)
    slope = 1 / np.cosh(np.sqrt(q) * NODES) ** 2
    return q, weight_variance * (WEIGHTS * slope**2).sum()


def depth_scale(chi: float) -> float:
    """ξ = 1/|ln χ1|: layers over which a signal falls, or grows, by e; ∞ at the edge of chaos."""
    return np.inf if chi == 1 else 1 / abs(np.log(chi))


def gaussian_spread(width: int) -> float:
    """How far a further Gaussian factor, width × width, parts the logarithms of a product's extreme singular values.

    λ₁ − λ_N = ½[ψ(N/2) − ψ(½)], the Lyapunov exponents of a product of many, whatever the variance (Newman 1986,
    Commun. Math. Phys. 103). Orthogonal factors part them by nothing.
    """
    return float(digamma(width / 2) - digamma(0.5)) / 2
