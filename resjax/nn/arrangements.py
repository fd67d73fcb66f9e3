"""Where a transformer's norms stand, together with how the sum is scaled and how the weights start.

N is the number of blocks, of which a transformer's attention and MLP are one each; L, in the papers, is N/2. All are
there for other branches of two layers, too.
"""

import dataclasses
import functools

from resjax.nn import order
from resjax.nn.arguments import Checked, checked
from resjax.nn.connection import Connection
from resjax.nn.connections import LayerScale, ReZero, Scaled
from resjax.nn.kinds import NotNegative, Positive, Share
from resjax.nn.order import Order


@dataclasses.dataclass(frozen=True)
class Arrangement(Checked):
    """An order, and what belongs to it."""

    order: Order
    connection: Connection | None = None  # None: any
    gain: tuple[float, float] = (1.0, 0.0)  # c and p: branches' weights start c · N^(−p) times as large
    opening: tuple[Share, Order] | None = None  # a share of the blocks, the first, and the order that they have


DEEPNORM = Arrangement(order.POST_NORM, Scaled(growth=0.25), gain=(4**-0.25, 0.25))
"""LN(αx + F(x)), α = N^¼ = (2L)^¼ and β = (4N)^(−¼) = (8L)^(−¼) (Wang et al. 2022, arXiv 2203.00555, table 2)."""

KEEL = Arrangement(order.PRE_NORM._replace(after=("norm",)), Scaled(growth=1.0))
"""LN(αx + F(LN x)), α = N (arXiv 2601.19895)."""

LNS = Arrangement(order.PRE_NORM._replace(before=("norm", "by_depth")))
"""x + F(LN(x)/√l), l the transformer's block, from 1 (Sun et al. 2025, arXiv 2502.05795)."""

PERI = Arrangement(order.SANDWICH)
"""x + LN(F(LN x)) (Kim et al. 2025, arXiv 2502.02732)."""

REZERO = Arrangement(order.Order(between=("activation",)), ReZero())
"""x + αF(x), α = 0 at the start, no norms (Bachlechner et al. 2020, arXiv 2003.04887)."""


@checked
@functools.cache
def mix_ln(share: Share = 0.25) -> Arrangement:
    """The norm behind the sum in a share of the blocks, the first, then before the branch (arXiv 2412.13795)."""
    return Arrangement(order.PRE_NORM, opening=(share, order.POST_NORM))


@checked
@functools.cache
def layerscale(start: NotNegative = 0.0) -> Arrangement:
    """x + λ ⊙ F(LN x), see `LayerScale`."""
    return Arrangement(order.PRE_NORM, LayerScale(start))


@checked
@functools.cache
def scaled(power: NotNegative = 0.5) -> Arrangement:
    """x + N^(−power) F(LN x)."""
    return Arrangement(order.PRE_NORM, Scaled(power=power))


@checked
@functools.cache
def complete_p(base: Positive = 4, power: Positive = 1.0) -> Arrangement:
    """x + m^(−power) F(LN x), m = N/base (Dey et al. 2025, arXiv 2505.01618).

    So a rate that is tuned at N = base stays the best. With power 1 AdamW keeps its rate, with ε times m^(−1); with ½,
    depth-µP, the rate goes with m^(−½).
    """
    return Arrangement(order.PRE_NORM, Scaled(beta=base**power, power=power))
