"""How large a wide transformer's stream is at the start, how alike its tokens are, and what gradient reaches them.

Σ (T T) holds the means over features of x_t·x_s, for each pair of tokens, and G those of their gradients. As the width
grows each sublayer changes Σ by a formula, and G on the way back by another. An operation is here a function of Σ that
returns the next Σ and its way back, a function of G.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from resjax.theory.kernels import kappa0, kappa1
from resjax.theory.sublayers import Sublayer, named

Gram = Float[np.ndarray, "T T"]
Back = Callable[[Gram], Gram]
Operation = Callable[[Gram], tuple[Gram, Back]]


class TokenMoments(NamedTuple):
    """Means over tokens, P = L + 1 of each: of the input, and behind each of L blocks."""

    mean_square: Float[np.ndarray, " P"]  # of the stream
    cosine: Float[np.ndarray, " P"]  # of the pairs of different tokens; NaN for one token
    gradient_mean_square: Float[np.ndarray, " P"]  # of the gradient at the stream there; 1 behind the last block


def tokens(
    order: str | tuple[Sublayer, ...],
    blocks: int,
    tokens: int,
    causal: bool = True,
    *,
    mlp: float = 1.0,
    power: float = 0.5,
    base: float = 2.0,
) -> TokenMoments:
    """Mean square of the stream, cosine of its tokens and mean square of the gradient, by block of a wide transformer.

    A block is attention and a ReLU MLP, with random weights. The tokens of the input are independent, of mean square 1.
    Attention is uniform: a token gets the mean over all tokens, or over those up to itself. So it is where the weights
    of queries start at zero; Xavier's give scores of variance 1, which draw tokens together later, and through which
    more gradient comes. Value and output weights have the variance 1/D. A sublayer makes of its Σ, and back of G,

        attention  AΣAᵀ               AᵀGA        A uniform: 1/T, or 1/t for the t tokens up to the t-th
        MLP        ½ mlp κ1(Σ)        ½ mlp κ0(Σ) ∘ G, where κ0 and κ1 act on the cosines, and κ1(Σ) keeps the sizes
        norm       Σ_ts/√(Σ_tt Σ_ss)  G_ts/√(Σ_tt Σ_ss)

    A branch's last weights have mean zero and are independent of the stream: so the Σ of stream and branch add up, and
    likewise G on both ways back. Behind the last block the gradient is independent from token to token (G = 1).

    The Jacobian of a norm is (1 − x̂x̂ᵀ)/rms(x), of layer norm also less the mean over features. The projection takes
    away what lies along x. That is one D-th of the gradient's mean square, for a gradient which came through other
    random weights is independent of x. In the wide limit only the division is left.

    The setting is that of Xiong et al. 2020, arXiv 2002.04745, who have the mean squares of pre-norm and post-norm.

    Args:
      order: a name that `sublayers.named` knows, or one `Sublayer` a block.
      blocks: L.
      tokens: T.
      causal: whether a token gets only those up to itself.
      mlp: what the MLP's weights make of a mean square, ReLU aside: the product of both layers' variance × fan-in. It
        is 1 by fan-in; Xavier's have 4h/(1 + h)² with hD hidden units: 1 for h = 1, as in Xiong et al., .64 for h = 4.
      power, base: of the orders `scaled` and `complete_p`.

    Raises:
      ValueError: no blocks, no tokens, an unknown name, or not one `Sublayer` a block.
    """
    if blocks < 1 or tokens < 1:
        raise ValueError(f"{blocks} blocks of {tokens} tokens: must be at least 1 each")
    sublayers = named(order, blocks, power, base) if isinstance(order, str) else order
    if len(sublayers) != blocks:
        raise ValueError(f"order with sublayers for {len(sublayers)} blocks: must be {blocks}, one a block")
    reach = np.tril(np.ones((tokens, tokens))) if causal else np.ones((tokens, tokens))
    branches = _attention(reach / reach.sum(1, keepdims=True)), _mlp(mlp)

    gram = np.eye(tokens)
    grams = [gram]
    ways_back = []
    for sublayer in sublayers:
        for branch in branches:
            gram, back = _through(sublayer, branch, gram)
            ways_back.append(back)
        grams.append(gram)

    gradient = np.eye(tokens)
    gradients = [gradient]
    for mlp_back, attention_back in zip(ways_back[::-2], ways_back[-2::-2], strict=True):
        gradient = attention_back(mlp_back(gradient))
        gradients.append(gradient)
    return TokenMoments(_mean_squares(grams), _mean_cosines(grams), _mean_squares(gradients[::-1]))


def _through(sublayer: Sublayer, branch: Operation, gram: Gram) -> tuple[Gram, Back]:
    """after(carry·x + branch·end(F(before(x))))."""
    weights = sublayer.gain**4  # two layers, squared
    z, before_back = _norm(gram) if sublayer.before else (gram, _unchanged)
    f, branch_back = branch(z)
    f, end_back = _norm(weights * f) if sublayer.end else (weights * f, _unchanged)
    total = sublayer.carry**2 * gram + sublayer.branch**2 * f
    y, after_back = _norm(total) if sublayer.after else (total, _unchanged)

    def back(gradient):
        gradient = after_back(gradient)
        through = weights * end_back(sublayer.branch**2 * gradient)
        return sublayer.carry**2 * gradient + before_back(branch_back(through))

    return y, back


def _unchanged(gradient: Gram) -> Gram:
    """The way back through no norm."""
    return gradient


def _norm(gram: Gram) -> tuple[Gram, Back]:
    """Each token is divided by the root of its mean square."""
    cosines, scale = _cosines(gram)
    return cosines, lambda gradient: gradient / scale / scale[:, None]


def _attention(weights: Gram) -> Operation:
    """Means over the tokens with these weights A."""
    return lambda gram: (weights @ gram @ weights.T, lambda gradient: weights.T @ gradient @ weights)


def _mlp(product: float) -> Operation:
    """Weights, ReLU, weights."""

    def operation(gram):
        cosines, scale = _cosines(gram)
        slope = product / 2 * kappa0(cosines)
        return product / 2 * kappa1(cosines) * scale * scale[:, None], lambda gradient: slope * gradient

    return operation


def _cosines(gram: Gram) -> tuple[Gram, Float[np.ndarray, " T"]]:
    """The correlation matrix, and √Σ_tt. Its diagonal is 1 to the last bit, for there κ0 is infinitely steep."""
    scale = np.sqrt(np.diag(gram))
    cosines = gram / scale / scale[:, None]
    np.fill_diagonal(cosines, 1.0)
    return cosines, scale


def _mean_squares(grams: list[Gram]) -> Float[np.ndarray, " P"]:
    """The mean of each diagonal."""
    return np.array([np.diag(gram).mean() for gram in grams])


def _mean_cosines(grams: list[Gram]) -> Float[np.ndarray, " P"]:
    """The mean over the pairs of each."""
    number = len(grams[0])
    pairs = number * (number - 1)
    return np.array([(_cosines(gram)[0].sum() - number) / pairs if pairs else np.nan for gram in grams])
