"""The growth of streams whose blocks share their weights: what they add is no longer independent."""

import numpy as np
from jaxtyping import Float
from scipy import special


def looped_squares(scale: float, length: int) -> Float[np.ndarray, " K"]:
    """The mean square of (I + sW)^l x for l = 0, …, L, where that of x is 1 and W is large and Gaussian.

    W has entries of variance 1/n, or is a product of such matrices. Its powers are as good as independent of each other
    (tr Wʲᵀ Wᵏ / n → δ_jk for j, k ≪ n), so that the square is Σ_k C(l, k)² s²ᵏ. Independent blocks have (1 + s²)^l.
    With s = 1/L this tends to I₀(2) = 2.28, where they have 1; with s = 1/√L it grows as e^(2√L), where they have e.

    Args:
      scale: s, what each block multiplies its branch with.
      length: L.

    Returns:
      K = L + 1 values.
    """
    blocks = np.arange(length + 1)
    logs = special.gammaln(blocks + 1)
    squares = np.log(abs(scale)) * 2 * blocks if scale else np.where(blocks, -np.inf, 0.0)
    chosen = logs[:, None] - logs - special.gammaln(np.maximum(blocks[:, None] - blocks, 0) + 1)  # ln C(l, k)
    terms = np.where(blocks <= blocks[:, None], 2 * chosen + squares, -np.inf)
    return np.exp(special.logsumexp(terms, axis=1))
