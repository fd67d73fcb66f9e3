"""The sublayers of transformers as numbers: where norms stand, and what stream and branch are multiplied with."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sublayer:
    """x ← after(carry·x + branch·end(F(before(x)))), F attention or MLP; before, end and after are norms, or none."""

    before: bool = False
    end: bool = False
    after: bool = False
    carry: float = 1.0
    branch: float = 1.0
    gain: float = 1.0  # what the weights of value, output and MLP are multiplied with; F has two layers of such weights


def named(order: str, blocks: int, power: float = 0.5, base: float = 2.0) -> tuple[Sublayer, ...]:
    """The sublayers of a known order at the start, one a block: its attention and its MLP have the same.

    L blocks are N = 2L sublayers. The orders:

        pre         x + F(LN x)              Xiong et al. 2020, arXiv 2002.04745
        post        LN(x + F(x))             Vaswani et al. 2017, arXiv 1706.03762
        deepnorm    LN(αx + F(x))            α = (2L)^¼, weights × (8L)^−¼; Wang et al. 2022, arXiv 2203.00555
        keel        LN(αx + F(LN x))         α = N; arXiv 2601.19895
        lns         x + F(LN(x)/√l)          in block l, from 1; arXiv 2502.05795
        peri        x + LN(F(LN x))          arXiv 2502.02732
        mix_ln      post, then pre           the first ⌊L/4⌋ blocks are post; arXiv 2412.13795
        rezero      x + 0·F(x)               Bachlechner et al. 2020, arXiv 2003.04887
        scaled      x + N^−power F(LN x)
        layerscale  x + λF(LN x)             λ = .1 up to 18 blocks, 1e-5 up to 24, else 1e-6; arXiv 2103.17239
        complete_p  x + (base/L) F(LN x)     Dey et al. 2025, arXiv 2505.01618

    Args:
      order: its name.
      blocks: L.
      power: of `scaled`.
      base: the depth L at which `complete_p` is `pre`.

    Raises:
      ValueError: another name.
    """
    pre = Sublayer(before=True)
    post = Sublayer(after=True)
    quarter = blocks // 4
    known = {
        "pre": (pre,) * blocks,
        "post": (post,) * blocks,
        "deepnorm": (Sublayer(after=True, carry=(2 * blocks) ** 0.25, gain=(8 * blocks) ** -0.25),) * blocks,
        "keel": (Sublayer(before=True, after=True, carry=2 * blocks),) * blocks,
        # F(z/√l) = F(z)/√l: value path and ReLU MLP are homogeneous, and the attention is uniform whatever the scale
        "lns": tuple(Sublayer(before=True, branch=block**-0.5) for block in range(1, blocks + 1)),
        "peri": (Sublayer(before=True, end=True),) * blocks,
        "mix_ln": (post,) * quarter + (pre,) * (blocks - quarter),
        "rezero": (Sublayer(branch=0.0),) * blocks,
        "scaled": (Sublayer(before=True, branch=(2 * blocks) ** -power),) * blocks,
        "layerscale": (Sublayer(before=True, branch=0.1 if blocks <= 18 else 1e-5 if blocks <= 24 else 1e-6),) * blocks,
        "complete_p": (Sublayer(before=True, branch=base / blocks),) * blocks,
    }
    if order not in known:
        raise ValueError(f"order {order!r}: must be one of {', '.join(known)}")
    return known[order]
