"""What a network of `resjax.models` is made of, and how one style reaches all of its parts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as linen
import jax

from resjax import nn
from resjax.nn import branches, initializers, shortcuts
from resjax.nn.arguments import Checked
from resjax.nn.kinds import Count, NotNegative, Share, Size
from resjax.nn.module import Part, Pointwise
from resjax.nn.order import check
from resjax.nn.wirings.memory import Memory

STYLE = tuple(field.name for field in dataclasses.fields(Part) if field.name not in ("parent", "name"))


@dataclasses.dataclass(frozen=True)
class Parts(Checked):
    """What a network is made of. A part keeps a norm, … that is not its class's default, else it has the network's."""

    width: Count = 64  # units or filters of the stem
    classes: Count = 10  # of the head: its outputs
    pooled: bool = True  # whether they are of an example, else of each of its pixels or tokens
    branch: linen.Module = branches.Dense()  # what a block computes
    block: linen.Module | None = None  # (x, train) -> y in place of the branch, where a block keeps the shape
    connection: nn.Connection = nn.Residual()
    shortcut: shortcuts.Shortcut = shortcuts.Projection()  # where sizes differ
    projections: Size = 0  # blocks, spread evenly, whose stream takes the shortcut though the size stays
    norm: linen.Module = nn.BatchNorm()
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu
    initializer: initializers.Initializer = initializers.he_normal()
    bias_initializer: initializers.Initializer = initializers.zeros()
    order: nn.Order | nn.Arrangement = nn.PRE
    opening: tuple[Share, nn.Order] | None = None  # a share of the blocks, the first, and the order that they have
    spectral_norm: NotNegative = 0.0  # a bound on the norm of every layer of a branch; 0: none
    looped: bool = False  # whether the blocks of a stage that keep its shape share one set of weights
    remat: Callable[..., bool] | None = None  # a policy of jax.checkpoint_policies; None stores every value
    dtype: Any = None  # what the network computes in; None: the inputs'
    stream: Any = None  # what stem, head and the stream between the branches are kept in; None: as `dtype`

    def __post_init__(self):
        super().__post_init__()
        order = self.order if isinstance(self.order, nn.Order) else self.order.order
        opening = self.opening if isinstance(self.order, nn.Order) else self.order.opening
        for each in (order, *(opening[1:] if opening else ())):
            check(each)
        end = order.end
        if isinstance(self.connection, Memory | nn.ValueResidual) and order.after:
            name = type(self.connection).__name__
            raise ValueError(f"connection {name}: goes with an order that has nothing behind the sum, as pre")
        if getattr(self.norm, "zero_last", False) and end[-1:] != ("norm",):
            raise ValueError(
                "a norm with zero_last: goes with an order whose branches end with a norm, as post does; before an "
                "activation it would have no gradient"
            )

    def arranged(self) -> "Parts":
        """With what an `Arrangement` is made of in its place.

        Raises:
          ValueError: it has a connection, and these parts have another.
        """
        chosen = self.order
        if isinstance(chosen, nn.Order):
            return self
        connection = chosen.connection or self.connection
        if chosen.connection and self.connection not in (nn.Residual(), chosen.connection):
            raise ValueError(
                f"connection {type(self.connection).__name__}: this order has its own, {type(connection).__name__}; "
                "use Residual"
            )
        initializer = self.initializer if chosen.gain == (1, 0) else initializers.Gained(self.initializer, *chosen.gain)
        return dataclasses.replace(
            self, order=chosen.order, opening=chosen.opening, connection=connection, initializer=initializer
        )

    def styled(self, part: Any, **fields: Any) -> Any:
        """A part of the network, or a connection with some inside: with the network's style where it has none."""
        inside = {name: getattr(part, name, None) for name in getattr(part, "__dataclass_fields__", ())}
        styled = {name: self.styled(value) for name, value in inside.items() if _has_parts(value)}
        if isinstance(part, Part):
            usual = type(part)()
            styled |= {name: getattr(self, name) for name in STYLE if getattr(part, name) == getattr(usual, name)}
        return part.clone(**styled | fields) if styled or fields else part

    def pointwise(self, where: str) -> Pointwise:
        """The norms and activations that the order has at one place."""
        return self.styled(Pointwise(where=where))

    @property
    def kept(self) -> dict[str, Any]:
        """The fields of a block that say in what its branch computes, where the stream is kept in another precision."""
        return {"dtype": self.dtype} if self.stream else {}

    @property
    def inner(self) -> linen.Module:
        """What the blocks compute that keep the shape."""
        return branches.BranchOf(self.block) if self.block is not None else self.styled(self.branch)


def _has_parts(value: Any) -> bool:
    return isinstance(value, Part | nn.Connection)


def layers_of(branch: linen.Module) -> int:
    """Weighted layers on the longest path through a branch: its own count, else 1."""
    return getattr(branch, "layers", 1)
