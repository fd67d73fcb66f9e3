"""A stack: L blocks of one shape, run by one `lax.scan`. The heart of resjax.

Parameters and state carry a leading layer axis, so the program, its tracing and its compilation do
not grow with L. What an experiment varies comes in as arrays over the layers (`Layers`), never as
code inside the network: one compiled program serves every lesion, every order, every schedule.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from resjax.appending import appended
from resjax.gating import gated
from resjax.layers import BlockAt, BlockTrace, Layers
from resjax.nn import convolution
from resjax.nn.block import Block
from resjax.nn.module import does_nothing
from resjax.nn.place import Place

SOWN = "activations", "attention"  # the collections that modules sow for probes


@dataclasses.dataclass(frozen=True, init=False)
class Stack:
    """`length` blocks in a row: copies of one, or of several that take turns (attention, MLP, attention, …).

    Parameters and state are tuples, a tree a kind of block, whose leaves have a leading axis of L/kinds; that of the
    parameters is 1 where they are tied.

    Raises:
      ValueError: a length that is no multiple of the number of kinds.
    """

    blocks: tuple[Block, ...]  # or any other Linen modules that are called as `Block` is
    length: int  # L
    remat: Callable[..., bool] | None  # a policy of jax.checkpoint_policies; None stores every value
    tied: bool  # one set of weights, which all turns share; their state is their own

    def __init__(
        self,
        blocks: Block | tuple[Block, ...],
        length: int,
        remat: Callable[..., bool] | None = None,
        tied: bool = False,
    ):
        object.__setattr__(self, "blocks", blocks if isinstance(blocks, tuple) else (blocks,))
        object.__setattr__(self, "length", length)
        object.__setattr__(self, "remat", remat)
        object.__setattr__(self, "tied", tied)
        if self.length < 1 or self.length % len(self.blocks):
            raise ValueError(f"length {self.length}: must be a multiple of {len(self.blocks)}, the kinds of block")

    def init(
        self, key: PRNGKeyArray, x: Float[Array, "B ... D"], first: int = 0, total: int | None = None
    ) -> tuple[Any, Any]:
        """Parameters and state (batch statistics) for streams shaped like x (B … D); `apply` says what else."""
        keys = self.by_kind(jax.random.split(key, self.length))
        if self.tied:  # one set of weights, and the state of every turn belongs to it
            keys = jax.tree.map(lambda own: jnp.broadcast_to(own[:1], own.shape), keys)
        numbers = self.by_kind(first + 1 + jnp.arange(self.length))
        found = []
        for block, *own in zip(self.blocks, keys, numbers, strict=True):

            def init(key, number, block=block):
                variables = dict(block.init(key, x, self.place(number, total), train=False))
                return variables.pop("params", {}), variables

            found.append(jax.vmap(init)(*own))
        params, state = zip(*found, strict=True)
        return jax.tree.map(lambda leaf: leaf[:1], params) if self.tied else params, state

    def apply(
        self,
        params: Any,
        state: Any,
        x: Float[Array, "B ... D"],
        layers: Layers = Layers(),
        *,
        train: bool = False,
        probe: Callable[[BlockTrace], Any] | None = None,
        fork: Callable[[jax.Array, Any], tuple[jax.Array, jax.Array]] | None = None,
        hold: Callable[[jax.Array], jax.Array] | None = None,
        first: int = 0,
        total: int | None = None,
    ) -> tuple[Float[Array, "B ... _D"], Any, Any]:
        """Runs x (B … D) through the blocks.

        Args:
          params, state: as `init` made them.
          x: the stream.
          layers: what differs from block to block.
          train: batch statistics are taken from the batch and the running ones move on.
          probe: `BlockTrace` -> any tree, called in every block.
          fork: (x, tap) -> (x for the branch, x for the connection), called in every block with its `layers.grad_tap`.
          hold: x -> x, called on the stream before and behind every block: where it lies on the devices.
          first, total: blocks of the network before this stack, and in all; by default this stack is all there is.

        Returns:
          y (B … D), the new state, and the probe's values with a leading axis of L (by place).
        """
        step = functools.partial(
            _step, train=train, probe=probe, fork=fork, place=lambda number: self.place(number, total)
        )
        if hold:
            step = functools.partial(_held, step, hold)
        if self.remat:
            policy = convolution.counted(self.remat)
            step = functools.partial(_checkpointed, step, policy)
        order = layers.order
        weights = self.unrolled(params), state
        if order is not None:
            weights = self.moved(weights, order)
            layers = layers.permuted()
        keys = None if layers.key is None else jax.random.split(layers.key, self.length)
        own = self.by_kind((layers._replace(key=keys), first + 1 + jnp.arange(self.length)))
        once = self.remat and self.appends and train and not (probe or fork)
        run = functools.partial(appended, self.scan) if once else self.scan
        y, found = run(step, x, tuple(zip(*weights, own, strict=True)))
        new_state, seen = zip(*found, strict=True)
        seen = self.by_place(seen)
        if not train:
            return y, state, seen
        if order is not None:  # back from places to blocks
            (new_state,) = self.moved((new_state,), jnp.argsort(order))
        return y, new_state, seen

    def scan(
        self, step: Callable, x: Float[Array, "B ... D"], per_block: Any, reverse: bool = False
    ) -> tuple[Float[Array, "B ... _D"], Any]:
        """The one loop over the blocks: `step(block, x, own) -> (x, out)` for each of them.

        Args:
          step: what is done in a block.
          x: B … D, what the first block gets, or the last one if `reverse`.
          per_block: `own`, a tree a kind of block, with leading axes of L/kinds.
          reverse: from the last block to the first.

        Returns:
          x in the end, and `out`, a tree a kind, with leading axes of L/kinds.
        """
        turns = range(len(self.blocks))

        def body(x, own):
            outs = {}
            for kind in reversed(turns) if reverse else turns:
                x, outs[kind] = step(self.blocks[kind], x, own[kind])
            return x, tuple(outs[kind] for kind in turns)

        if self.length == len(self.blocks):  # no loop: a block that changes the shape could not be in one
            x, outs = body(x, jax.tree.map(lambda leaf: leaf[0], per_block))
            return x, jax.tree.map(lambda leaf: leaf[None], outs)
        return lax.scan(body, x, per_block, length=self.length // len(self.blocks), reverse=reverse)

    @property
    def appends(self) -> bool:
        """Whether no block depends on what it and those behind it write: with `remat` one stream is kept, not L."""
        return all(
            isinstance(block, Block) and block.connection.appends and does_nothing(block.after) for block in self.blocks
        )

    def unrolled(self, params: Any) -> Any:
        """The parameters of every block, L/kinds: those that are tied as often as there are turns."""
        turns = self.length // len(self.blocks)
        spread = functools.partial(jax.tree.map, lambda leaf: jnp.broadcast_to(leaf, (turns, *leaf.shape[1:])))
        return spread(params) if self.tied else params

    def place(self, number: Int[Array, "..."] | int, total: int | None = None) -> Place:
        """That of a block of this number in a network of so many blocks, by default this stack."""
        return Place(number, total or self.length, len(self.blocks))

    def by_kind(self, tree: Any) -> tuple[Any, ...]:
        """A tree of arrays with an entry a block, as a tree a kind of block: leading axes of L/kinds."""
        kinds = len(self.blocks)
        if kinds == 1:
            return (tree,)
        return tuple(jax.tree.map(lambda leaf, kind=kind: leaf[kind::kinds], tree) for kind in range(kinds))

    def by_place(self, trees: tuple[Any, ...]) -> Any:
        """The inverse of `by_kind`."""
        if len(trees) == 1:
            return trees[0]
        return jax.tree.map(lambda *kinds: jnp.stack(kinds, 1).reshape(-1, *kinds[0].shape[1:]), *trees)

    def moved(self, weights: tuple[Any, ...], order: Int[Array, " L"]) -> tuple[Any, ...]:
        """Parameters and state (or one of them) in this order of the blocks, in which each kind keeps its turns."""
        orders = self.by_kind(order // len(self.blocks))
        return tuple(
            tuple(jax.tree.map(lambda leaf, own=own: leaf[own], tree) for tree, own in zip(trees, orders, strict=True))
            for trees in weights
        )


def _step(block, x, own, *, train: bool, probe: Callable | None, fork: Callable | None, place: Callable):
    """The next stream; and the block's new state and what the probe says of it."""
    params, state, (layers, number) = own
    here = place(number)
    variables = {"params": params, **state}
    moving = list(state) if train else []
    options: dict[str, Any] = {"train": train, "rngs": None if layers.key is None else {"dropout": layers.key}}
    if fork is not None:
        options["fork"] = lambda x: fork(x, layers.grad_tap)

    def through(x):
        mutable = moving if probe is None else [*moving, *SOWN]
        (y, f), new_state = block.apply(variables, x, here, layers.branch_scale, mutable=mutable, **options)
        sown = [tuple(jax.tree.leaves(new_state.pop(name, ()))) for name in SOWN]
        return y, new_state, None if probe is None else (f, *sown)

    def around(x):
        (y, _), new_state = block.apply(variables, x, here, keep=False, mutable=moving, **options)
        inside = jax.eval_shape(through, x)[2]
        return y, new_state, jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), inside)

    y, new_state, inside = gated(through, around, x, layers.keep, layers.rows)
    if probe is None:
        return y, (new_state, None)
    f, activations, entropies = inside
    at = BlockAt(block, variables, here, layers.branch_scale)
    return y, (new_state, probe(BlockTrace(x, f, activations, entropies, y, at)))


def _held(step: Callable, hold: Callable, block, x, own):
    """The step, of which the streams before and behind are held where they lie, and so are their gradients."""
    y, out = step(block, hold(x), own)
    return hold(y), out


def _checkpointed(step: Callable, policy: Callable, block, x, own):
    """The step, of which only what the policy says is kept for the backward pass. Scan already prevents CSE."""
    return jax.checkpoint(functools.partial(step, block), policy=policy, prevent_cse=False)(x, own)
