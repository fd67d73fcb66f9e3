"""The curvature of the loss: eigenvalues of its Hessian by Lanczos' algorithm, from products with vectors alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, Shaped
from matfree import decomp
from scipy.linalg import eigh_tridiagonal

from resjax.network import Network
from resjax.probes.directions import displaced
from resjax.probes.planes import Plane
from resjax.stack import Stack
from resjax.training import losses

ROUNDING = 10  # in units of the precision: a step of Lanczos' algorithm that finds less of a new direction found none


def hessian(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    *,
    key: PRNGKeyArray | None = None,
    steps: int = 20,
) -> pd.DataFrame:
    """A table of the curvature of the loss, a row an eigenvalue of its Hessian: columns `eigenvalue` and `error`.

    For arguments and columns see `eigenvalues`; `key` is by default that of seed 0.
    """
    key = jax.random.key(0) if key is None else key
    values, errors = eigenvalues(network, params, state, x, labels, key, steps)
    return pd.DataFrame({"eigenvalue": values, "error": errors})


def eigenvalues(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    key: PRNGKeyArray,
    steps: int,
    batch_statistics: bool = False,
) -> tuple[Float[np.ndarray, " found"], Float[np.ndarray, " found"]]:
    """Eigenvalues of the Hessian of the mean cross-entropy towards all parameters, in evaluation.

    Args:
      network, params, state: the network, and where.
      x, labels: over which the mean is taken.
      key: of the random vector that Lanczos' algorithm starts with.
      steps: S, products of the Hessian with a vector.
      batch_statistics: whether norms have the statistics of x, as in training; for networks that draw nothing there.

    Returns:
      At most S Ritz values, largest first, and a bound for each: an eigenvalue is no farther from it. None is
      outside of the spectrum, and the outermost ones are the first to be exact. One NaN if the loss is not finite.
    """
    steps = min(steps, ravel_pytree(params)[0].size)
    diagonal, beside = map(np.asarray, _lanczos(network, batch_statistics, params, state, x, labels, key, steps))
    scale = np.nanmax(np.abs([diagonal, beside]), initial=0)
    exact = ROUNDING * np.finfo(beside.dtype).eps * scale
    ends = np.flatnonzero(~(beside > exact))
    reached = ends[0] + 1 if len(ends) else steps
    diagonal = diagonal[:reached].astype(np.float64)
    beside = beside[:reached].astype(np.float64)
    if not (np.isfinite(diagonal).all() and np.isfinite(beside[:-1]).all()):
        return np.array([np.nan]), np.array([np.nan])
    values, vectors = eigh_tridiagonal(diagonal, beside[:-1])
    return values[::-1], np.maximum(np.abs(vectors[-1] * beside[-1]), exact)[::-1]


def over_plane(
    network: Network,
    params: dict,
    state: dict,
    x: Shaped[Array, "B ..."],
    labels: Shaped[Array, "B ..."],
    key: PRNGKeyArray,
    steps: int,
    plane: Plane,
    batch_statistics: bool = False,
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"]]:
    """The largest and the smallest eigenvalue of the Hessian at every point of a plane, NaN where the loss is not.

    For the arguments see `eigenvalues`.
    """
    found = []
    for point in plane.points():
        there = displaced(params, plane.directions, point)
        values, _ = eigenvalues(network, there, state, x, labels, key, steps, batch_statistics)
        found.append(values[[0, -1]])
    largest, smallest = np.array(found).T
    return largest, smallest


def negativity(largest: Float[np.ndarray, " P"], smallest: Float[np.ndarray, " P"]) -> Float[np.ndarray, " found"]:
    """|λ_min / λ_max| at the points where that is a number: near 0 where the loss is nearly convex."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.abs(smallest / largest)
    return ratios[np.isfinite(ratios)]


@functools.partial(jax.jit, static_argnames=("network", "train", "steps"))
def _lanczos(network: Network, train: bool, params, state, x, labels, key, steps: int):
    """The tridiagonal matrix of Lanczos' algorithm, with full orthogonalisation: diagonal and what is beside it, S, S.

    The last number has no place in the matrix: it is the length of what is left.
    """

    network = _storing(network)

    def loss(params):
        logits, _, _ = network.apply(params, state, x, train=train)
        return losses.loss(logits, labels).mean()

    def product(vector):
        return jax.jvp(jax.grad(loss), (params,), (vector,))[1]

    flat, unravel = ravel_pytree(params)
    start = unravel(jax.random.normal(key, flat.shape, flat.dtype))
    found = decomp.tridiag_sym(steps, materialize=False, custom_vjp=False)(product, start)
    diagonal, beside = found.J_small
    left = jnp.linalg.norm(ravel_pytree(found.residual)[0])
    return diagonal, jnp.append(beside, left)


def _storing(network: Network) -> Network:
    """The network, whose gradient has a derivative: that of `appending.appended`, which `remat` asks for, has none."""
    stages = [
        dataclasses.replace(stage, remat=None) if isinstance(stage, Stack) and stage.appends else stage
        for stage in network.stages
    ]
    return dataclasses.replace(network, stages=stages)
