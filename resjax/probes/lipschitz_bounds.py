"""How much y − x of a block can stretch: below 1, the block has an inverse (Behrmann et al. 2019, theorem 1).

From above, by what is known of its layers (see `resjax.probes.stretch`) and of its connection (`factors`), for all
inputs; from below, the largest that is measured at some inputs.
"""

import functools
import math

import jax
import jax.numpy as jnp
import pandas as pd
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from resjax.layers import BlockAt
from resjax.network import Network
from resjax.nn.block import Block
from resjax.nn.module import does_nothing
from resjax.probes import blocks, singular_values
from resjax.probes.stretch import stretch
from resjax.theory.factors import known


def lipschitz(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    *,
    key: PRNGKeyArray | None = None,
    steps: int = 20,
) -> pd.DataFrame:
    """A table of the Lipschitz constants of each block's y − x, in evaluation: a row a block.

    Columns: `block`, from 0; `lower`, the largest singular value of ∂(y − x)/∂x over the inputs, so that no
    constant is smaller; `upper`, see there, which is one, but for a thousandth (∞ where none is known).

    Args:
      network, params, state: the network; norms use the running statistics in `state`.
      x: inputs.
      key: of Lanczos's random starts; by default that of seed 0.
      steps: of Lanczos, for `lower`.

    Raises:
      ValueError: a block changes the shape, so that it has no y − x.
    """
    blocks.check(network)
    key = jax.random.key(0) if key is None else key
    return blocks.table(_lipschitz(network, params, state, x, key, steps), ("lower", "upper"))


@functools.partial(jax.jit, static_argnames=("network", "steps"))
def _lipschitz(network: Network, params, state, x, key, steps: int):
    x = blocks.before(network, params, state, x)
    return {
        "lower": lower(network, params, state, x, key, steps),
        "upper": upper(network, params, state, x[:1], key),
    }


def upper(
    network: Network, params: dict, state: dict, x: Float[Array, "B ... D"], key: PRNGKeyArray
) -> Float[Array, " L"]:
    """By block, a bound on the Lipschitz constant of y − x, in evaluation; ∞ where none is known.

    None is known of branches, and of what stands behind the addition, that are not of this library, and of
    connections without `factors` (such as draw, gate or project), with a `read` of their own or with several streams.

    Args:
      network, params, state: as in `blocks.run`.
      x: the stream before the first block; the bound holds for all others of this shape.
      key: for Lanczos's random starts.
    """

    def probe(trace):
        return jnp.asarray(_bound(trace.at, trace.x, key), trace.x.dtype)

    return blocks.run(network, params, state, x, probe)[1]


def _bound(at: BlockAt, x, key):
    """Of y − x, for y = J(ax + bF(x)): |a − 1| + |b| Lip(F) if J is the identity, else 1 + Lip(J)(|a| + |b| Lip(F))."""
    if type(at.block) is not Block:
        return math.inf
    learned = at.variables["params"].get("connection", {})
    factors = known(at.block.connection, at.place, learned)
    if factors is None:
        return math.inf
    inside = stretch(at.block.branch, _own(at, "branch"), x, at.place, key)
    behind = stretch(at.block.after, _own(at, "after"), x, at.place, key)
    if inside is None or behind is None:
        return math.inf
    direct, factor = factors
    factor = abs(factor) if at.branch_scale is None else at.branch_scale * abs(factor)
    if does_nothing(at.block.after):
        return abs(direct - 1) + factor * inside
    return 1 + behind * (abs(direct) + factor * inside)


def _own(at: BlockAt, name: str) -> dict:
    """The parameters and state of a part of the block."""
    return {collection: tree[name] for collection, tree in at.variables.items() if name in tree}


def lower(
    network: Network, params: dict, state: dict, x: Float[Array, "B ... D"], key: PRNGKeyArray, steps: int = 20
) -> Float[Array, " L"]:
    """By block, the largest singular value of ∂(y − x)/∂x at the streams that x becomes."""

    def probe(trace):
        def residual(x):
            return trace.at(x[None])[0] - x

        return jax.lax.map(lambda x: singular_values.norm(residual, x, key, steps), trace.x).max()

    return blocks.run(network, params, state, x, probe)[1]
