"""How much y − x of a block can stretch: below 1, the block has an inverse (Behrmann et al. 2019, theorem 1).

From above, the product of what its layers stretch, which holds for all inputs (Szegedy et al. 2014, section 4.3; the
norms themselves are Lanczos's, converged to a thousandth); from below, the largest that is measured at some inputs.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from resjax import normalizers, parts
from resjax.branches.own import Own
from resjax.connections import Connection, Plain, Residual, ReZero, Scaled
from resjax.networks import Network
from resjax.probes import blocks, jacobian
from resjax.stack import Block

# the steepest slope of each activation; of crelu, how much longer [ρ(x), ρ(−x)] can be than x
ACTIVATIONS = {
    "relu": 1.0, "tanh": 1.0, "elu": 1.0, "softplus": 1.0, "identity": 1.0, "crelu": 1.0, "sigmoid": 0.25,
    "gelu": 1.1290, "silu": 1.0999, "selu": 1.7582,
}  # fmt: skip


def upper(network: Network, params, state, x, key):
    """By block, L, a bound on the Lipschitz constant of y − x, in evaluation; ∞ where none is known.

    None is known of a `--block` of the user's own and of connections that draw, gate or project.

    Args:
      network, params, state: as in `blocks.each`.
      x: B … D, the stream before the first block.
      key: for Lanczos's random starts.
    """

    def bound(block: Block, variables, x):
        weights, rate = variables
        direct, factor = factors(block.connection, weights["params"].get("connection", {}))
        if isinstance(block.branch, Own) or math.isinf(direct):
            return jnp.asarray(jnp.inf, x.dtype)
        inside = {name: tree["branch"] for name, tree in weights.items() if "branch" in tree}
        return jnp.asarray(direct + rate * factor * stretch(block.branch, inside, x, key), x.dtype)

    return blocks.each(network, params, state, x, bound)[1]


def lower(network: Network, params, state, x, key, steps: int = 20):
    """By block, L: the largest singular value of ∂(y − x)/∂x at the streams that x (B … D) becomes."""

    def gain(block: Block, variables, x):
        def residual(x):
            return blocks.apply(block, variables, x[None])[0] - x

        return jax.lax.map(lambda x: jacobian.norm(residual, x, key, steps), x).max()

    return blocks.each(network, params, state, x, gain)[1]


def factors(connection: Connection, params) -> tuple[float, float | jax.Array]:
    """|a − 1| and |b| of a connection ax + bF(x); ∞ if it is none."""
    if connection.always:
        return math.inf, math.inf
    match connection:
        case Scaled():
            return abs(connection.alpha - 1), abs(connection.beta) * connection.length**-connection.power
        case ReZero():
            return 0.0, jnp.abs(params["alpha"])
        case Plain():
            return 1.0, 1.0
        case Residual():
            return 0.0, 1.0
    return math.inf, math.inf


def stretch(branch: parts.Branch, variables, x, key):
    """The product of what the layers of a branch stretch, for examples shaped like those of x (B … D); ∞ if unknown."""
    calls = []

    def note(call, args, kwargs, context):
        if len(context.module.path) == 1 and context.method_name == "__call__":  # what the branch itself calls
            calls.append((context.module.unbind(), args))
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        _, seen = branch.apply(variables, x, False, mutable=["activations"])
    slope, times = ACTIVATIONS.get(branch.activation, math.inf), len(jax.tree.leaves(seen))
    layers = [LAYERS.get(type(module), _unknown)(module, own, args, key) for (module, own), args in calls]
    return math.prod(layers) * (slope**times if times else 1.0)


def _product(module: nn.Module, variables, args, key):
    """The norm of the matrix, or of the convolution as a map of images."""
    x = args[0][0]
    return jacobian.norm(lambda x: module.apply(variables, x[None])[0], jnp.zeros(x.shape, x.dtype), key)


def _batch_norm(module: nn.Module, variables, args, key):
    """The largest |γ|/√(σ² + ε): in evaluation the norm is a factor a channel."""
    x = args[0]
    _, slopes = jax.jvp(lambda x: module.apply(variables, x, False), (x,), (jnp.ones(x.shape, x.dtype),))
    return jnp.abs(slopes).max()


def _by_example(module: nn.Module, variables, args, key):
    """The largest |γ|/√ε, the slope at x = 0 (at constant x for layer norm): far above what is met elsewhere."""
    return jnp.abs(variables["params"]["norm"]["scale"]).max() / module.epsilon**0.5


def _one(module: nn.Module, variables, args, key):
    return 1.0


def _unknown(module: nn.Module, variables, args, key):
    return math.inf


LAYERS = {
    parts.Dense: _product,
    parts.Conv: _product,
    normalizers.BatchNorm: _batch_norm,
    normalizers.LayerNorm: _by_example,
    normalizers.RMSNorm: _by_example,
    normalizers.Center: _one,
    normalizers.NoNorm: _one,
    nn.Dropout: _one,
}
