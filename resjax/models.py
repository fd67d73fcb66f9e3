"""The networks that have a name: how many blocks of which shape a depth stands for.

    resnet(56, connection=nn.Plain(), norm=nn.LayerNorm())

The keyword arguments of all are the fields of `Parts`; each network has its papers' own as defaults.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from resjax import nn
from resjax.assembly import assemble
from resjax.network import Network
from resjax.nn import branches, shortcuts
from resjax.nn.arguments import checked
from resjax.nn.kinds import Count
from resjax.parts import Parts, layers_of
from resjax.transformers import transformer as transformer
from resjax.transformers import vit as vit

IMAGENET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclasses.dataclass(frozen=True)
class Even:
    """Stages of equally many blocks: depth = base + stages · layers of a branch · n.

    From the second stage on, a stage halves the image: its first block does, or pixels become channels.
    """

    name: str
    stem: type[nn.Stem]
    defaults: tuple[tuple[str, Any], ...]
    widths: tuple[int, ...] = (1,)  # of the stages, in widths of the stem
    base: int = 2
    squeezes: bool = False  # pixels become channels between the stages (see `resjax.nn.space_to_depth`)
    shares_first: bool = False  # the first unit is a `Transition` though it keeps the shape

    def depths(self, limit: int, **options: Any) -> Sequence[int]:
        """The depths up to `limit` that there are, for these parts."""
        step = self._step(Parts(**dict(self.defaults) | options).arranged())
        return range(self.base + step, limit + 1, step)

    def build(self, depth: int, **options: Any) -> Network:
        """The network.

        Raises:
          ValueError: a depth that is not of this form, with the nearest ones that are; or parts that do not fit.
        """
        parts = Parts(**dict(self.defaults) | options).arranged()
        step = self._step(parts)
        blocks, rest = divmod(depth - self.base, step)
        if rest or blocks < 1:
            below = self.base + max(blocks, 1) * step
            nearest = [below] if depth < below else [below, below + step]
            raise ValueError(
                f"depth {depth}: {self.name} with {layers_of(parts.inner)} layers a branch has depth "
                f"{self.base} + {step}·n; nearest: {' and '.join(map(str, nearest))}"
            )
        lengths = [blocks] * len(self.widths)
        return assemble(parts, self.stem, self.widths, lengths, self.squeezes, self.shares_first)

    def _step(self, parts: Parts) -> int:
        return len(self.widths) * layers_of(parts.inner)


@dataclasses.dataclass(frozen=True)
class ImageNet:
    """The five networks of He et al. 2015, table 1: basic branches to 34 layers, bottlenecks from 50 on."""

    name: str
    defaults: tuple[tuple[str, Any], ...]

    def depths(self, limit: int, **options: Any) -> Sequence[int]:
        """The depths up to `limit` that there are."""
        return [depth for depth in IMAGENET if depth <= limit]

    def build(self, depth: int, **options: Any) -> Network:
        """The network.

        Raises:
          ValueError: a depth, or a branch for a depth, that is not in the table.
        """
        if depth not in IMAGENET:
            raise ValueError(f"depth {depth}: {self.name} has depth {', '.join(map(str, IMAGENET))}")
        usual = branches.Basic() if depth < 50 else branches.Bottleneck()
        parts = Parts(**dict(self.defaults) | {"branch": usual} | options).arranged()
        lengths = IMAGENET[depth]
        if depth != 2 + sum(lengths) * layers_of(parts.inner):
            raise ValueError(f"branch {type(parts.branch).__name__}: {self.name} of depth {depth} has other branches")
        return assemble(parts, nn.ImageNetStem, (1, 2, 4, 8), lengths)


_IMAGES = {"width": 16, "branch": branches.Basic(), "order": nn.POST, "shortcut": shortcuts.Pad()}
_PRE = _IMAGES | {"order": nn.PRE}


def _defaults(**parts: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(parts.items())


DENSE = Even("dense", nn.DenseStem, _defaults())
RESNET = Even("resnet", nn.ConvStem, _defaults(**_IMAGES), (1, 2, 4))
PREACT = Even("preact", nn.ConvStem, _defaults(**_PRE), (1, 2, 4), shares_first=True)
BOTTLENECK = Even(
    "bottleneck",
    nn.ConvStem,
    _defaults(**_PRE | {"branch": branches.Bottleneck(), "shortcut": shortcuts.Projection()}),
    (1, 2, 4),
)
IRESNET = Even(
    "iresnet",
    nn.PaddingStem,
    _defaults(**_PRE | {"branch": branches.Basic(layers=3, sizes=(3, 1, 3))}),
    (1, 4, 16),
    base=1,
    squeezes=True,
)
RESNET_IMAGENET = ImageNet("imagenet", _defaults(order=nn.POST))


@checked
def wide_family(factor: Count = 1) -> Even:
    """WRN-d-factor, of any depth d."""
    defaults = _defaults(**_PRE | {"shortcut": shortcuts.Projection()})
    return Even("wide", nn.ConvStem, defaults, (factor, 2 * factor, 4 * factor), base=4)


def dense(depth: int, width: int = 64, **parts: Any) -> Network:
    """depth = 2 + 2n: a dense stem, n residual blocks of two dense layers (full pre-activation), a head.

    For inputs of any shape, B …; the keyword arguments are the fields of `Parts`.

    Raises:
      ValueError: a depth that there is not, with the nearest ones that are; or parts that do not fit.
    """
    return DENSE.build(depth, width=width, **parts)


def resnet(depth: int, **parts: Any) -> Network:
    """depth = 6n + 2: He et al. 2015 (arXiv 1512.03385), section 4.2, for images B H W C; see `dense`."""
    return RESNET.build(depth, **parts)


def preact(depth: int, **parts: Any) -> Network:
    """depth = 6n + 2: He et al. 2016 (arXiv 1603.05027), full pre-activation, for images B H W C; see `dense`.

    The two ways of the first unit share its pre-activation, as their appendix says.
    """
    return PREACT.build(depth, **parts)


def bottleneck(depth: int, **parts: Any) -> Network:
    """depth = 9n + 2: ResNet-164 and ResNet-1001 of He et al. 2016 (arXiv 1603.05027); see `dense`."""
    return BOTTLENECK.build(depth, **parts)


def wide(depth: int, factor: int = 1, **parts: Any) -> Network:
    """depth = 6n + 4: WRN-depth-factor of Zagoruyko & Komodakis 2016 (arXiv 1605.07146); see `dense`.

    They count the three projections and not the head. With factor 1 the first unit keeps the shape, and its shortcut
    takes the stream as it is: in their code, too, only units that change the width share the pre-activation.
    """
    return wide_family(factor).build(depth, **parts)


def imagenet(depth: int, **parts: Any) -> Network:
    """depth = 18, 34, 50, 101 or 152: He et al. 2015 (arXiv 1512.03385), table 1; see `dense`.

    `branch=nn.Bottleneck(strided=1)` is what others call v1.5.
    """
    return RESNET_IMAGENET.build(depth, **parts)


def iresnet(depth: int, **parts: Any) -> Network:
    """depth = 9n + 1: Behrmann et al. 2019 (arXiv 1811.00995), section 5.1; invertible with a `spectral_norm` below 1
    and `norm=nn.NoNorm()`; see `dense`."""
    return IRESNET.build(depth, **parts)
