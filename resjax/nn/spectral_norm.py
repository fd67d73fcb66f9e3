"""Spectral normalisation as a parametrisation: what computes is W / max(1, σ̂/c), so no layer stretches more than c.

σ̂ is the largest singular value of the layer as a linear map, for a convolution of the map on the image and not of
the reshaped kernel (Behrmann et al. 2019, arXiv 1811.00995, section 3.1). It comes from power iteration whose vector
is carried as state, collection `spectral`: it moves on by `STEPS` a training step, since the weights hardly do. At
high rates they do, and σ̂ falls behind; so after training it is computed anew (see `resjax.settling`).
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from resjax.nn.arguments import Checked
from resjax.nn.kinds import Positive

FIRST = 100  # power iterations at the start,
STEPS = 5  # in every training step,
SETTLED = 1000  # and after training, where a module has a random stream of this name:
SETTLING = "settling"


def power_iteration(
    linear: Callable[[jax.Array], jax.Array], u: Float[Array, "*shape"], steps: int
) -> Float[Array, "*shape"]:
    """The unit vector u after `steps` applications of a linear map and its transpose; a map that is zero leaves it."""

    def once(_, u):
        v, transpose = jax.vjp(linear, u)
        new = transpose(v)[0]
        return jnp.where(jnp.any(new), unit(new), u)

    return lax.fori_loop(0, steps, once, u)


def unit(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x at length 1; zero stays zero."""
    return x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)


class SpectralNorm(Checked, nn.Module):
    """W -> W / max(1, σ̂/c): it only shrinks.

    σ̂ is below the true norm, by little once the iteration has converged. Its derivative is that of the norm at
    fixed singular vectors (Miyato et al. 2018, arXiv 1802.05957, eq. 10).
    """

    bound: Positive  # c

    @nn.compact
    def __call__(
        self, kernel: Float[Array, "*kernel"], linear: Callable, shape: Sequence[int]
    ) -> Float[Array, "*kernel"]:
        """The bounded kernel of the layer `linear(kernel, x)`, for inputs x of this shape."""
        fixed = lax.stop_gradient(kernel)

        def start():
            u = unit(jax.random.normal(self.make_rng("params"), shape, kernel.dtype))
            return power_iteration(lambda x: linear(fixed, x), u, FIRST)

        vector = self.variable("spectral", "vector", start)
        if self.has_rng(SETTLING):  # from a start of its own: what is settled follows from the weights alone
            u = unit(jax.random.normal(self.make_rng(SETTLING), shape, kernel.dtype))
            vector.value = power_iteration(lambda x: linear(fixed, x), u, SETTLED)
        elif self.is_mutable_collection("spectral") and not self.is_initializing():
            vector.value = power_iteration(lambda x: linear(fixed, x), vector.value, STEPS)
        u = lax.stop_gradient(vector.value)
        v = lax.stop_gradient(unit(linear(fixed, u)))
        estimate = (v * linear(kernel, u)).sum()
        return kernel / jnp.maximum(1, estimate / self.bound)
