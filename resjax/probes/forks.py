"""Forks: the gradient's two ways through a block, past the branch and through it.

Where the stream x parts, a fork sends it to the branch and to the connection and so meets, on the way
back, the two parts of ∂L/∂x = ∂L/∂y (1 + ∂F/∂x). In a block whose two ways share norm and activation
(`Transition.before`), x is what is behind these.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def measuring(statistic: Callable) -> Callable:
    """A fork (see `Stack.apply`) whose tap's gradient is `statistic(direct, branch)`.

    direct and branch (B … D) are the parts of ∂L/∂x that come past the branch and through it. The tap is an array, or
    a tree of them, that nothing else reads: so the statistics of all layers come out of one backward pass as one more
    gradient, and nothing of the size of the stream is kept.
    """

    @jax.custom_vjp
    def run(x, tap):
        return x, x

    def backward(_, gradients):
        branch, direct = gradients
        return branch + direct, statistic(direct, branch)

    run.defvjp(lambda x, tap: ((x, x), None), backward)
    return run


@jax.custom_vjp
def choosing(x: jax.Array, through: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A fork with the branch's gradient where its tap, () bool, sends it `through` the branch, and else the skip's."""
    return x, x


def _chosen(through, gradients):
    branch, direct = gradients
    return jnp.where(through, branch, direct), None


choosing.defvjp(lambda x, through: ((x, x), through), _chosen)
