"""How much a chain of layers can stretch: the product of what each of them does, which holds for all inputs.

Szegedy et al. 2014, section 4.3. The norms of the layers are Lanczos's, converged to a thousandth.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from resjax.nn import activations, branches, norms, place, weights
from resjax.nn.module import Pointwise, does_nothing
from resjax.nn.place import Place
from resjax.probes import singular_values

# the steepest slope of each activation; of crelu, how much longer [ρ(x), ρ(−x)] can be than x
ACTIVATIONS = {
    jax.nn.relu: 1.0, jax.nn.tanh: 1.0, jax.nn.elu: 1.0, jax.nn.softplus: 1.0, jax.nn.identity: 1.0,
    activations.crelu: 1.0, jax.nn.sigmoid: 0.25, jax.nn.gelu: 1.1290, jax.nn.silu: 1.0999, jax.nn.selu: 1.7582,
}  # fmt: skip
CHAINS = branches.Dense, branches.Basic, branches.Bottleneck, Pointwise  # modules that call one layer behind the other


def stretch(
    module: nn.Module, variables: dict, x: Float[Array, "B ... D"], where: Place, key: PRNGKeyArray
) -> Float[Array, ""] | float | None:
    """The product of what the layers of a branch stretch, or of what stands behind the addition, in evaluation.

    Args:
      module, variables: the branch, and its parameters and state.
      x: for its shape; the bound holds for all inputs of this shape.
      where: the place of its block.
      key: for Lanczos's random starts.

    Returns:
      The bound; None where it is not known: of modules, layers and activations that are not of this library.
    """
    if does_nothing(module):
        return 1.0
    if type(module) not in CHAINS:
        return None
    calls = []

    def note(call, args, kwargs, context):
        if len(context.module.path) == 1 and context.method_name == "__call__":  # what the module itself calls
            calls.append((context.module.unbind(), args))
        return call(*args, **kwargs)

    def run(module, x):
        return place.call(module, x, False, where)

    with nn.intercept_methods(note):
        _, seen = nn.apply(run, module, mutable=["activations"])(variables, x)
    times = len(jax.tree.leaves(seen))
    if (times and module.activation not in ACTIVATIONS) or any(type(layer) not in LAYERS for (layer, _), _ in calls):
        return None
    layers = [LAYERS[type(layer)](layer, own, args, key) for (layer, own), args in calls]
    return math.prod(layers) * (ACTIVATIONS[module.activation] ** times if times else 1.0)


def product(module: nn.Module, variables: dict, args: tuple, key: PRNGKeyArray) -> Float[Array, ""]:
    """The norm of a layer's matrix, or of its convolution as a map of images like the first of `args[0]` (B … D)."""
    x = args[0][0]
    return singular_values.norm(lambda x: module.apply(variables, x[None])[0], jnp.zeros(x.shape, x.dtype), key)


def _batch_norm(module, variables, args, key):
    """The largest |γ|/√(σ² + ε): in evaluation the norm is a factor a channel."""
    x = args[0]
    _, slopes = jax.jvp(lambda x: module.apply(variables, x, False), (x,), (jnp.ones(x.shape, x.dtype),))
    return jnp.abs(slopes).max()


def _by_example(module, variables, args, key):
    """The largest |γ|/√ε, the slope at x = 0 (at constant x for layer norm): far above what is met elsewhere."""
    return jnp.abs(variables["params"]["norm"]["scale"]).max() / module.epsilon**0.5


def _one(module, variables, args, key):
    return 1.0


LAYERS = {
    weights.Dense: product,
    weights.Conv: product,
    norms.BatchNorm: _batch_norm,
    norms.LayerNorm: _by_example,
    norms.RMSNorm: _by_example,
    norms.Center: _one,
    norms.NoNorm: _one,
    nn.Dropout: _one,
}
