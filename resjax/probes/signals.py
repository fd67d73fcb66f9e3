"""The way forward: what becomes of a batch on its way through the blocks.

Cosines are between the two inputs of a pair: a batch is two halves, and input b of the first half and
input b of the second are a pair (see `pairs`).
"""

import jax
import jax.numpy as jnp

from resjax.stack import Seen


def pairs(key, count: int, shape, cosine: float, dtype=jnp.float32):
    """Gaussian directions in pairs at exactly this cosine, each of mean square 1: 2·count H W C."""
    first, other = jax.random.normal(key, (2, count, *shape), dtype).reshape(2, count, -1)
    first = first / jnp.linalg.norm(first, axis=-1, keepdims=True)
    other = other - (first * other).sum(-1, keepdims=True) * first
    other = other / jnp.linalg.norm(other, axis=-1, keepdims=True)
    second = cosine * first + (1 - cosine**2) ** 0.5 * other
    return jnp.concatenate([first, second]).reshape(-1, *shape) * first.shape[-1] ** 0.5


def mean_square(x):
    """The mean of x² over all its entries."""
    return (exact(x) ** 2).mean()


def cosine(x):
    """The cosine between the two vectors of a pair of x (B …), mean over the pairs that have no zero vector."""
    first, second = exact(x).reshape(2, len(x) // 2, -1)
    lengths = jnp.linalg.norm(first, axis=-1) * jnp.linalg.norm(second, axis=-1)
    return jnp.mean((first * second).sum(-1) / lengths, where=lengths > 0)


def effective_rank(x):
    """exp of the entropy of the normalised singular values of x, B × all else (Roy & Vetterli 2007).

    1 where all inputs, or all units, are alike; nan where x is zero.
    """
    values = jnp.linalg.svd(exact(x).reshape(len(x), -1), compute_uv=False)
    shares = values / values.sum()
    return jnp.exp(jax.scipy.special.entr(shares).sum())


def dead_fraction(activations):
    """The share of units (channels) that are zero for every input of the batch; nan without activations."""
    dead = [(a == 0).all(range(a.ndim - 1)).mean(dtype=exact(a).dtype) for a in activations]
    return sum(dead) / len(dead) if dead else jnp.nan


def signals(seen: Seen) -> dict[str, jax.Array]:
    """A probe (see `Stack.apply`): the block's stream and branch in numbers."""
    return {
        "activation_ms": mean_square(seen.x),
        "branch_ms": mean_square(seen.f),
        "input_cosine": cosine(seen.x),
        "dead_fraction": jnp.asarray(dead_fraction(seen.activations), exact(seen.x).dtype),
        "effective_rank": effective_rank(seen.x),
    }


def exact(x):
    """x in float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
