"""A stack: L blocks of one shape, run by one `lax.scan`. The heart of resjax.

Parameters and state carry a leading layer axis, so the program, its tracing and its compilation do
not grow with L. What an experiment varies comes in as arrays over the layers (`Layers`), never as
code inside the network: one compiled program serves every lesion, every order, every schedule.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resjax import convolution
from resjax.connections import Connection
from resjax.parts import Branch, pointwise


class Block(nn.Module):
    """y = connection(x, rate · F(x)), with norm and activation where the branch's order has them."""

    branch: Branch
    connection: Connection

    @nn.compact
    def __call__(self, x, rate=None, *, train: bool, without=None):
        """The next stream and F(x).

        `without` leaves the branch out, and not computed, of a block that changes the shape: it is
        the shape and dtype of F(x), to which the shortcut then brings x.
        """
        if self.branch.shared:
            x = pointwise(self.branch, "before", x, train)
        if without is not None:
            return self.connection.match(x, without, train), jnp.zeros(without.shape, without.dtype)
        f = self.branch(x, train)
        f = f if rate is None else f * jnp.asarray(rate, f.dtype)
        return pointwise(self.branch, "joined", self.connection(x, f, train), train), f


class Layers(NamedTuple):
    """Arrays with one entry a block; None leaves that freedom out of the compiled program."""

    alive: jax.Array | None = None  # L bool. False: the branch is left out, and not computed; only the stream remains
    rate: jax.Array | None = None  # L float. A factor on F(x), such as a survival probability
    order: jax.Array | None = None  # L int. The block that stands at each place, a permutation
    key: jax.Array | None = None  # one key, split over the blocks: dropout and its like


@dataclasses.dataclass(frozen=True)
class Stack:
    """`length` copies of `block` in a row; a block is any Linen module (x, rate, train) -> (y, f)."""

    block: nn.Module
    length: int
    remat: str = ""  # a name from jax.checkpoint_policies; "" stores every intermediate value

    def init(self, key, x):
        """Parameters and state (batch statistics), each leaf with a leading axis of L."""

        def init(key):
            variables = dict(self.block.init(key, x, train=False))
            return variables.pop("params", {}), variables

        return jax.vmap(init)(jax.random.split(key, self.length))

    def apply(self, params, state, x, layers=Layers(), *, train=False, probe: Callable | None = None):
        """Runs x (B … D) through the blocks.

        Args:
          params, state: as `init` made them.
          x: the stream.
          layers: what differs from block to block. `order` moves a block with all that is its own:
            parameters, state, `alive` and `rate`.
          train: batch statistics are taken from the batch and the running ones move on.
          probe: (x, f, y) -> any tree, called in every block with the stream before it, the branch
            and the stream after it.

        Returns:
          y (B … D), the new state, and the probe's values with a leading axis of L (by place).
        """
        per_block = params, state, layers.alive, layers.rate
        if layers.order is not None:
            per_block = jax.tree.map(lambda leaf: leaf[layers.order], per_block)
        keys = None if layers.key is None else jax.random.split(layers.key, self.length)

        def body(x, per_block):
            (params, state, alive, rate), key = per_block

            def run(x, without=None):
                (y, f), new_state = self.block.apply(
                    {"params": params, **state},
                    x,
                    rate,
                    train=train,
                    mutable=list(state) if train else [],
                    rngs=None if key is None else {"dropout": key},
                    **({} if without is None else {"without": without}),
                )
                return y, new_state, None if probe is None else f

            def leave_out(x):
                y, new_state, f = jax.eval_shape(run, x)
                if y.shape != x.shape:  # what is left of a block that changes the shape is its shortcut
                    return run(x, without=y)
                return x, state if new_state else {}, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), f)

            y, new_state, f = run(x) if alive is None else lax.cond(alive, run, leave_out, x)
            return y, (new_state, None if probe is None else probe(x, f, y))

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
