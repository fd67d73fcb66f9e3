"""Three wirings that are no x + F(x), and any stack as a Python loop over its blocks."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from helpers import layer

from resjax import nn
from resjax.layers import Layers
from resjax.nn import initializers
from resjax.parts import Parts
from resjax.stack import Stack


class TwoStreams(nn.Connection):
    """X′ = MX + F(X₁): two streams, which a learned matrix M mixes in every block."""

    def widen(self, x, place):
        return jnp.stack([x, x], axis=-2)  # B 2 D

    @linen.compact
    def coefficients(self, x, place, train):
        return self.param("mixing", initializers.normal(0.5), (2, 2), jnp.float32).astype(x.dtype)

    def read(self, x, c, place):
        return x[..., 0, :]

    def write(self, x, f, c, place):
        return self.carry(x, c, place) + f[..., None, :]

    def carry(self, x, c, place):
        return jnp.einsum("mn,bnd->bmd", c, x)

    def narrow(self, x, place):
        return x.sum(-2)


class Depthwise(nn.Residual):
    """y = x + F(x/√l) in block l."""

    def read(self, x, c, place):
        return x * jnp.asarray(place.block, x.dtype) ** -0.5


def block(connection, layers=1, order=nn.PRE, **style):
    """A block of dense layers, with batch norm if nothing else is said."""
    parts = Parts(branch=nn.Dense(layers=layers), order=order, **style)
    return nn.Block(parts.inner, parts.styled(connection), parts.pointwise("after"))


ATTENTION = block(nn.Scaled(alpha=0.9, power=0.5))
MLP = block(Depthwise(), layers=2, order=nn.POST, norm=nn.LayerNorm(), activation=jnp.tanh)
STACKS = {
    "streams": Stack(block(TwoStreams(), order=nn.NORM_AFTER_ADDITION), 4),
    "depthwise": Stack(block(Depthwise()), 4),
    "period": Stack((ATTENTION, MLP), 6),
}
ORDERS = {"streams": [2, 0, 3, 1], "depthwise": [2, 0, 3, 1], "period": [4, 1, 0, 5, 2, 3]}  # a kind keeps its turns


def by_hand(built, params, state, x, layers=None, *, train=True, forks=None, first=0, total=None):
    """A stack as a loop: y, the new state of each block, and (x, f, y) of each place. Of forks, each block has one."""
    layers = jax.tree.map(np.asarray, Layers() if layers is None else layers)  # a loop can ask what they are
    states = {}
    seen = []
    for at in range(built.length):
        number = at if layers.order is None else int(layers.order[at])
        own = {"params": layer(params, number), **layer(state, number)}
        scale, keep, rows, fork = (
            None if of_blocks is None else of_blocks[number]
            for of_blocks in (layers.branch_scale, layers.keep, layers.rows, forks)
        )
        options = {"train": train, "mutable": list(layer(state, number)) if train else []}
        options |= {} if fork is None else {"fork": fork}
        place = nn.Place(first + at + 1, total or built.length)
        run = _of_block(built.blocks[at % len(built.blocks)], own, place, scale, options)
        y, f, states[number] = _gated(run, x, keep, rows)
        seen.append((x, f, y))
        x = y
    return x, states, jax.tree.map(lambda *places: jnp.stack(places), *seen)


def _of_block(module, variables, place, scale, options):
    def run(x, keep=True):
        (y, f), new_state = module.apply(variables, x, place, scale, keep=keep, **options)
        return y, f, new_state

    return run


def _gated(run, x, keep, rows):
    """The next stream, F(x) and the new state: each example on its own."""
    y, f, new_state = run(x)
    if keep is None and rows is None:
        return y, f, new_state
    around, _, untouched = run(x, keep=False)
    if rows is not None:
        y, added, new_state = run(x[rows])
        return around.at[rows].set(y), jnp.zeros_like(f).at[rows].set(added), new_state
    if not keep.ndim:
        return (y, f, new_state) if keep else (around, jnp.zeros_like(f), untouched)
    y = jnp.stack([y[example] if keep[example] else around[example] for example in range(len(x))])
    return y, jnp.stack([f[example] * keep[example] for example in range(len(x))]), new_state
