"""A stack: L blocks of one shape, run by one `lax.scan`. The heart of resjax.

Parameters and state carry a leading layer axis, so the program, its tracing and its compilation do
not grow with L. What an experiment varies comes in as arrays over the layers (`Layers`), never as
code inside the network: one compiled program serves every lesion, every order, every schedule.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resjax import convolution
from resjax.connections import Connection
from resjax.parts import Branch, pointwise
from resjax.squeezing import squeeze


class Block(nn.Module):
    """y = connection(x, rate · F(x)), with norm and activation where the branch's order has them."""

    branch: Branch
    connection: Connection

    @nn.compact
    def __call__(self, x, rate=None, *, train: bool, without=None, fork: Callable = lambda x: (x, x)):
        """The next stream and F(x).

        `without` leaves the branch out, and not computed, of a block that changes the shape: it is
        the shape and dtype of F(x), to which the shortcut then brings x. `fork` is where the stream
        parts: what the branch gets and what the connection gets.
        """
        if self.branch.shared:
            x = pointwise(self.branch, "before", x, train)
        inward, onward = fork(x)
        if without is not None:
            return self.connection.match(onward, without, train), jnp.zeros(without.shape, without.dtype)
        f = self.branch(inward, train)
        f = f if rate is None else f * jnp.asarray(rate, f.dtype)
        return pointwise(self.branch, "joined", self.connection(onward, f, train), train), f


class Layers(NamedTuple):
    """Arrays with one entry a block; None leaves that freedom out of the compiled program."""

    alive: jax.Array | None = None  # L bool. False: the branch is left out, and not computed; only the stream remains
    # or L B bool, an example each, with every branch computed; here and below not together with a fork
    rows: Any = None  # L n int. The examples that go through the branch; for the others it is left out
    rate: jax.Array | None = None  # L float. A factor on F(x), such as a survival probability
    order: jax.Array | None = None  # L int. The block that stands at each place, a permutation
    sink: Any = None  # a tree, L …. What a fork may hand a gradient to (see `resjax.probes.gradients`)
    key: jax.Array | None = None  # one key, split over the blocks: dropout and its like
    gates: jax.Array | None = None  # one key: what a network with stochastic depth draws `alive` or `rows` from


class Seen(NamedTuple):
    """What a probe sees of a block, at its place in the network."""

    x: jax.Array  # B … D, the stream before the block
    f: jax.Array  # B … D, what the branch adds, its rate counted in
    y: jax.Array  # B … D, the stream after the block
    activations: tuple[jax.Array, ...]  # B … D each, what came out of the block's activation functions, in order


@dataclasses.dataclass(frozen=True)
class Stack:
    """`length` copies of `block` in a row; a block is any Linen module (x, rate, train) -> (y, f)."""

    block: nn.Module
    length: int
    remat: str = ""  # a name from jax.checkpoint_policies; "" stores every intermediate value
    squeeze: int = 1  # the sides of the squares of pixels that become channels before the first block

    def init(self, key, x):
        """Parameters and state (batch statistics), each leaf with a leading axis of L."""
        x = squeeze(x, self.squeeze)

        def init(key):
            variables = dict(self.block.init(key, x, train=False))
            return variables.pop("params", {}), variables

        return jax.vmap(init)(jax.random.split(key, self.length))

    def apply(self, params, state, x, layers=Layers(), *, train=False, probe=None, fork=None):
        """Runs x (B … D) through the blocks.

        Args:
          params, state: as `init` made them.
          x: the stream.
          layers: what differs from block to block. `order` moves a block with all that is its own:
            parameters, state, `alive`, `rows` and `rate`.
          train: batch statistics are taken from the batch and the running ones move on.
          probe: `Seen` -> any tree, called in every block.
          fork: (x, sink) -> (x for the branch, x for the connection), called in every block with its
            `layers.sink`.

        Returns:
          y (B … D), the new state, and the probe's values with a leading axis of L (by place).
        """
        x = squeeze(x, self.squeeze)
        per_block = params, state, layers.alive, layers.rows, layers.rate, layers.sink
        if layers.order is not None:
            per_block = jax.tree.map(lambda leaf: leaf[layers.order], per_block)
        keys = None if layers.key is None else jax.random.split(layers.key, self.length)

        def body(x, per_block):
            (params, state, alive, rows, rate, sink), key = per_block
            own_fork = {} if fork is None else {"fork": lambda x: fork(x, sink)}

            def run(x, **how):
                (y, f), new_state = self.block.apply(
                    {"params": params, **state},
                    x,
                    rate,
                    train=train,
                    mutable=(list(state) if train else []) + ([] if probe is None else ["activations"]),
                    rngs=None if key is None else {"dropout": key},
                    **own_fork,
                    **how,
                )
                activations = tuple(jax.tree.leaves(new_state.pop("activations", ())))
                return y, new_state, None if probe is None else (f, activations)

            def leave_out(x):
                y, new_state, inside = jax.eval_shape(run, x)
                zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), inside)
                if y.shape != x.shape:  # what is left of a block that changes the shape is its shortcut
                    return (*run(x, without=y)[:2], zeros)
                return x if fork is None else fork(x, sink)[1], state if new_state else {}, zeros

            y, new_state, inside = _through(run, leave_out, x, alive, rows)
            return y, (new_state, None if probe is None else probe(Seen(x, inside[0], y, inside[1])))

        if self.remat:
            policy = convolution.counted(getattr(jax.checkpoint_policies, self.remat))
            body = jax.checkpoint(body, policy=policy, prevent_cse=False)  # scan already prevents it

        if self.length == 1:  # no loop: a block that changes the shape could not be in one
            y, out = body(x, jax.tree.map(lambda leaf: leaf[0], (per_block, keys)))
            new_state, seen = jax.tree.map(lambda leaf: leaf[None], out)
        else:
            y, (new_state, seen) = lax.scan(body, x, (per_block, keys), length=self.length)
        if not train:
            return y, state, seen
        if layers.order is not None:  # back from places to blocks
            new_state = jax.tree.map(lambda leaf: leaf[jnp.argsort(layers.order)], new_state)
        return y, new_state, seen


def _through(run: Callable, leave_out: Callable, x, alive, rows):
    """Through the block for the examples that go through it, and around it for the others."""
    if rows is not None:
        through, around = run(x[rows]), leave_out(x)
        y, inside = jax.tree.map(lambda o, t: o.at[rows].set(t), around[::2], through[::2])
        return y, through[1], inside
    if alive is None:
        return run(x)
    if not alive.ndim:
        # a conditional keeps for the way back what either side would, filled with zeros for the other: keep nothing
        return lax.cond(alive, jax.checkpoint(run, prevent_cse=False), leave_out, x)
    through, around = run(x), leave_out(x)
    y, inside = jax.tree.map(
        lambda t, o: jnp.where(alive.reshape(-1, *[1] * (t.ndim - 1)), t, o), through[::2], around[::2]
    )
    return y, through[1], inside
