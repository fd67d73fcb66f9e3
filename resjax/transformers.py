"""Transformers: blocks of attention and MLP in turn, of the tokens of a text or the patches of an image.

    transformer(1002, heads=4, order=nn.DEEPNORM)

Each attention and each MLP is a block of the stack, with a connection, a lesion and a row of the probes of its own. The
depth counts weighted layers on the longest path, as everywhere here: 4 for both, those of values, output and MLP, and 2
for the ends. So 12 blocks of the papers are 50 layers.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from resjax import nn
from resjax.assembly import block, head, stacks
from resjax.network import Network
from resjax.nn import initializers
from resjax.nn.arguments import Checked, checked
from resjax.nn.kinds import Count, Positive, Size
from resjax.parts import Parts

Places = Literal["rotary", "learned", "none"]
DEFAULTS = {"norm": nn.LayerNorm(), "initializer": initializers.xavier_normal()}


@dataclasses.dataclass(frozen=True)
class Transformer(Checked):
    """depth = 2 + 4n; n blocks of the papers, or 2 + 2n where attention and MLP are one branch."""

    heads: Count = 4
    places: Places = "rotary"  # how a token knows where it is; of patches always learned
    ratio: Positive = 4.0  # of the MLP's hidden units to the width
    gated: bool = False  # see `nn.MLP`
    parallel: bool = False  # see `nn.Parallel`
    tied: bool = False  # see `nn.TiedHead`
    patch: Size = 0  # sides of the patches of an image, in pixels; 0: inputs are tokens, and each sees those before it

    orders: ClassVar[Mapping[str, nn.Order]] = {"pre": nn.PRE_NORM, "post": nn.POST_NORM}  # where norms are alone

    def __post_init__(self):
        super().__post_init__()
        if self.patch and self.tied:
            raise ValueError("tied=True: goes with tokens, whose vectors stem and head share")

    @property
    def of_tokens(self) -> bool:
        """Whether inputs are tokens, not images."""
        return not self.patch

    def depths(self, limit: int, **options: Any) -> Sequence[int]:
        """The depths up to `limit` that there are."""
        return range(2 + self.step, limit + 1, self.step)

    def blocks(self, depth: int) -> int:
        """The blocks of the papers in a network of this depth."""
        return (depth - 2) // self.step

    @property
    def step(self) -> int:
        """Weighted layers of a block of the papers."""
        return 2 if self.parallel else 4

    def build(self, depth: int, **options: Any) -> Network:
        """The network.

        Raises:
          ValueError: a depth that is not of this form, with the nearest ones that are; or parts that do not fit.
        """
        blocks = self.blocks(depth)
        if depth != 2 + blocks * self.step or blocks < 1:
            below = 2 + max(blocks, 1) * self.step
            nearest = [below] if depth < below else [below, below + self.step]
            raise ValueError(
                f"depth {depth}: a transformer of {self.step} layers a block has depth 2 + {self.step}·n; nearest: "
                f"{' and '.join(map(str, nearest))}"
            )
        given = DEFAULTS | {"order": nn.PRE_NORM} | options
        parts = Parts(**given).arranged()
        self._check(parts)
        return Network(
            parts.styled(self._stem(parts)),
            stacks(parts, self._blocks, blocks),
            parts.styled(nn.TiedHead(classes=parts.classes) if self.tied else head(parts)),
            parts.stream or parts.dtype,
        )

    def _blocks(self, parts: Parts) -> tuple[nn.Block, ...]:
        attention = nn.Attention(
            heads=self.heads, causal=not self.patch, rotary=self.places == "rotary" and not self.patch
        )
        mlp = nn.MLP(ratio=self.ratio, gated=self.gated)
        if self.parallel:
            bare = nn.Order(between=parts.order.between)  # the two share what stands before and behind them
            branches = [nn.Parallel(attention=attention.clone(order=bare), mlp=mlp.clone(order=bare))]
        else:
            branches = [attention, mlp]
        return tuple(block(parts, parts.styled(branch)) for branch in branches)

    def _stem(self, parts: Parts) -> nn.Stem:
        if self.patch:
            return nn.PatchStem(width=parts.width, patch=self.patch)
        learned = self.places == "learned"
        return nn.TokenStem(
            width=parts.width, vocabulary=parts.classes, learned_places=learned, dtype=parts.stream or parts.dtype
        )

    def _check(self, parts: Parts) -> None:
        if parts.width % self.heads:
            raise ValueError(f"width {parts.width}: must be a multiple of {self.heads}, the heads")
        if self.tied and parts.pooled:
            raise ValueError("tied=True: goes with a task of tokens, of which each has outputs of its own")
        if self.parallel and isinstance(parts.connection, nn.ValueResidual):
            raise ValueError("connection ValueResidual: goes with attention as a branch of its own, parallel=False")
        if self.of_tokens and isinstance(parts.norm, nn.GroupNorm):
            raise ValueError("norm GroupNorm: sees tokens to come; use LayerNorm or RMSNorm, whose means are a token's")
        if parts.block is not None or parts.branch != Parts().branch:
            raise ValueError("a transformer has its own branches: leave out branch and block")
        if parts.projections or parts.spectral_norm:
            raise ValueError("a transformer has neither projections nor spectral norms")


def text_family(
    heads: Count = 4,
    places: Places = "rotary",
    ratio: Positive = 4.0,
    gated: bool = False,
    parallel: bool = False,
    tied: bool = False,
) -> Transformer:
    """Transformers of tokens, of any depth."""
    return Transformer(heads, places, ratio, gated, parallel, tied)


def image_family(
    patch: Count = 4, heads: Count = 4, ratio: Positive = 4.0, gated: bool = False, parallel: bool = False
) -> Transformer:
    """Transformers of the patches of images, of any depth."""
    return Transformer(heads, "learned", ratio, gated, parallel, patch=patch)


def transformer(depth: int, width: int = 64, heads: int = 4, *, vocabulary: int = 256, **options: Any) -> Network:
    """depth = 2 + 4n: a decoder, B T integers -> B T `vocabulary` logits of the next tokens (see `Transformer`).

    The other keyword arguments are fields of `Transformer` and of `Parts`.

    Raises:
      ValueError: a depth that there is not, with the nearest ones that are; or parts that do not fit.
    """
    return _built(depth, options, {"width": width, "classes": vocabulary, "pooled": False}, heads=heads)


@checked
def vit(depth: int, width: int = 64, heads: int = 4, *, patch: Count = 4, **options: Any) -> Network:
    """depth = 2 + 4n: images B H W C -> B K logits, each patch sees all others (Dosovitskiy et al. 2020, 2010.11929).

    The other keyword arguments are fields of `Transformer` and of `Parts`.

    Raises:
      ValueError: a depth that there is not, with the nearest ones that are; or parts that do not fit.
    """
    return _built(depth, options, {"width": width}, heads=heads, patch=patch)


def _built(depth: int, options: dict[str, Any], parts: dict[str, Any], **own: Any) -> Network:
    known = {field.name for field in dataclasses.fields(Transformer)}
    own |= {name: options.pop(name) for name in known & options.keys()}
    return Transformer(**own).build(depth, **parts | options)
