"""What a connection is: how a branch's output F(x) meets the stream x.

A connection is one small class. A plain network is a residual network with another connection, and has the same
parameters. What is learned or drawn, `coefficients` makes, once a block; all else are pure functions of it:

    widen(x, place) -> X                 once, before the first block; X may be several streams, B … n D
    coefficients(X, place, train) -> c   the one compact method
    read(X, c, place) -> z               what the branch gets
    write(X, f, c, place) -> X′          the next stream
    carry(X, c, place) -> X′             what is left where the branch is left out
    narrow(X, place) -> x                once, before the head
    factors(place, params) -> a, b       what stream and branch are multiplied with, for theory and bounds
"""

from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from resjax.nn.arguments import Checked
from resjax.nn.place import Place

Stream = Float[Array, "B ... D"]  # one stream, or several, B … n D
Factors = tuple[Any, Any] | None


class Connection(Checked, nn.Module):
    """Joins stream X (B … D, or B … n D) and branch f (B … D). The default methods: one stream, nothing learned."""

    skip: ClassVar[bool] = True  # whether the stream leads past the branch
    scales: ClassVar[bool] = True  # whether F(x) times a number adds as many times as much

    @property
    def appends(self) -> bool:
        """Whether no block depends on what it, and those behind it, write to the stream."""
        return False

    @property
    def widens(self) -> bool:
        """Whether X is more than one stream."""
        return type(self).widen is not Connection.widen

    def widen(self, x: Stream, place: Place) -> Stream:
        """The streams before the first block, from the stem's output x (B … D); `place.block` is 0."""
        return x

    def narrow(self, x: Stream, place: Place) -> Stream:
        """What the head gets, B … D, of the streams behind the last block; `place.block` is L + 1.

        It may call `coefficients`: what is learned there is the network's own.
        """
        return x

    def shown(self, x: Stream, place: Place) -> Stream:
        """What probes read of the streams before a block."""
        return x

    def added(self, f: Stream) -> Stream:
        """F(x), of what the branch gives back."""
        return f

    def beside(self, branch: nn.Module) -> "Connection":
        """This connection, where it has to know what the branch is."""
        return self

    def scaled(self, f: Stream, scale: Float[Array, ""]) -> Stream:
        """What the branch adds, times a number, such as a survival probability."""
        return f * scale

    def coefficients(self, x: Stream, place: Place, train: bool) -> Any:
        """What is learned or drawn in this block; the other methods get it as c."""
        return None

    def read(self, x: Stream, c: Any, place: Place) -> Stream:
        """What the branch gets, B … D."""
        return x

    def write(self, x: Stream, f: Stream, c: Any, place: Place) -> Stream:
        """The next stream."""
        raise NotImplementedError(f"{type(self).__name__} has no write(x, f, c, place)")

    def carry(self, x: Stream, c: Any, place: Place) -> Stream:
        """What is left of the block without its branch: in a lesion, or where stochastic depth drops it."""
        return x

    def factors(self, place: Place, params: Any = None) -> Factors:
        """a and b of ax + bF(x), at the start or for these parameters of the connection; None if it is none such."""
        return None
