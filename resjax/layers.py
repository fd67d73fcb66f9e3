"""What differs from block to block, as arrays over the layers; and what a probe sees of a block."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from resjax.nn.place import Place


class Layers(NamedTuple):
    """Arrays with one entry a block; None leaves that freedom out of the compiled program."""

    keep: Bool[Array, " L"] | Bool[Array, "L B"] | None = None
    # L: where False, the branch is left out, and not computed; what is carried remains
    # L B: an example each, with every branch computed; here and below not together with a fork
    rows: Any = None  # L n int. The examples that go through the branch; for the others it is left out
    branch_scale: Float[Array, " L"] | None = None  # a factor on F(x), such as a survival probability
    order: Int[Array, " L"] | None = None  # the block that stands at each place, a permutation
    grad_tap: Any = None  # a tree, L …. What a fork may hand a gradient to (see `resjax.probes.forks`)
    key: PRNGKeyArray | None = None  # one key, split over the blocks: dropout and its like
    gates: PRNGKeyArray | None = None  # one key: what a network with stochastic depth draws `keep` or `rows` from

    def split(self, lengths: Sequence[int]) -> list["Layers"]:
        """Those of each of several stacks of these lengths; here `rows` is a tuple, an array a stack."""
        keys = [None] * len(lengths) if self.key is None else jax.random.split(self.key, len(lengths))
        found = []
        first = 0
        for at, length in enumerate(lengths):
            here = slice(first, first + length)
            found.append(
                Layers(
                    keep=None if self.keep is None else self.keep[here],
                    rows=None if self.rows is None else self.rows[at],
                    branch_scale=None if self.branch_scale is None else self.branch_scale[here],
                    order=None if self.order is None else self.order[here] - first,
                    grad_tap=jax.tree.map(lambda leaf, here=here: leaf[here], self.grad_tap),
                    key=keys[at],
                )
            )
            first += length
        return found

    def permuted(self) -> "Layers":
        """In the order of `order`, by place: a block moves with all that is its own. Keys belong to places."""
        own = self.keep, self.rows, self.branch_scale, self.grad_tap
        keep, rows, branch_scale, grad_tap = jax.tree.map(lambda leaf: leaf[self.order], own)
        return self._replace(keep=keep, rows=rows, branch_scale=branch_scale, grad_tap=grad_tap, order=None)


class BlockAt(NamedTuple):
    """A block where it stands, with its own parameters and state: a function of the stream, in evaluation."""

    block: nn.Module
    variables: dict[str, Any]  # params and the collections of the state
    place: Place
    branch_scale: Float[Array, ""] | None = None

    def __call__(self, x: Float[Array, "B ... D"]) -> Float[Array, "B ... _D"]:
        """The stream behind the block, B … D."""
        return self.block.apply(self.variables, x, self.place, self.branch_scale, train=False)[0]


class BlockTrace(NamedTuple):
    """What a probe sees of a block, at its place in the network."""

    x: Float[Array, "B ... D"]  # the stream before the block
    f: Float[Array, "B ... D"]  # what the branch adds, its scale counted in
    activations: tuple[Float[Array, "B ... D"], ...]  # what came out of the block's activation functions, in order
    entropies: tuple[Float[Array, ""], ...]  # of what attention there is in the block, see `nn.attention.entropy`
    y: Float[Array, "B ... D"]  # the stream after the block
    at: BlockAt  # the block itself
