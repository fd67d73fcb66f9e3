"""A small transformer of every order, from the papers' formulas, in numpy."""

import math

import jax
import numpy as np

WIDTH = 8
HEADS = 2
BLOCKS = 3
N = 2 * BLOCKS
TOKENS = jax.random.randint(jax.random.key(1), (2, 5), 0, 11)


def layer_norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * p["norm"]["scale"] + p["norm"]["bias"]


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def turned(x, t):
    """Each pair of units as a complex number, times e^(i t θ)."""
    half = x.shape[-1] // 2
    angles = t * 10000.0 ** (-np.arange(half) / half)
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([z.real, z.imag], -1)


def attention(p, x, rotary=True, first=None):
    """Token by token, head by head: each sees those before it and itself; half of the values are the first ones."""
    query, key, value = (dense(p[f"Dense_{number}"], x) for number in range(3))
    value = value if first is None else (value + first) / 2
    out = np.zeros_like(x)
    size = WIDTH // HEADS
    for b, i, head in np.ndindex(len(x), x.shape[1], HEADS):
        own = slice(head * size, (head + 1) * size)
        q, *k = (turned(v[b, t, own], t if rotary else 0) for t, v in [(i, query), *((t, key) for t in range(i + 1))])
        scores = np.exp([q @ each / math.sqrt(size) for each in k])
        out[b, i, own] = scores / scores.sum() @ value[b, : i + 1, own]
    return dense(p["Dense_3"], out)


def mlp(p, x):
    return dense(p["Dense_1"], np.maximum(dense(p["Dense_0"], x), 0))


def by_hand(name, params):
    """The logits, from the formulas of the papers: x for the stream, l the block from 1, n the place of its half."""
    p = jax.tree.map(np.asarray, params)
    x = math.sqrt(WIDTH) * p["stem"]["embedding"][np.asarray(TOKENS)]
    blocks = [tree for stack in p["stages"] for tree in turns(stack)]
    for n, own in enumerate(blocks):
        branch = own["branch"]
        f = attention if n % 2 == 0 else mlp
        norm = lambda x, own=branch: layer_norm(own["LayerNorm_0"], x)  # noqa: E731
        after = lambda x, own=own: layer_norm(own["after"]["LayerNorm_0"], x)  # noqa: E731
        l = n // 2 + 1  # noqa: E741
        if name == "pre" or (name == "mix_ln" and l > 1):
            x = x + f(branch, norm(x))
        elif name in ("post", "mix_ln"):
            x = after(x + f(branch, x))
        elif name == "deepnorm":
            x = after((2 * BLOCKS) ** 0.25 * x + f(branch, x))
        elif name == "keel":
            x = after(2 * BLOCKS * x + f(branch, norm(x)))
        elif name == "lns":
            x = x + f(branch, norm(x) / math.sqrt(l))
        elif name == "peri":
            x = x + layer_norm(branch["LayerNorm_1"], f(branch, norm(x)))
        elif name == "layerscale":
            x = x + own["connection"]["scale"] * f(branch, norm(x))
        elif name == "rezero":
            x = x + own["connection"]["alpha"] * f(branch, x)
        elif name == "scaled":
            x = x + f(branch, norm(x)) / math.sqrt(N)
        elif name == "complete_p":
            x = x + f(branch, norm(x)) * 4 / N
    last = x if name in ("post", "deepnorm", "rezero") else layer_norm(p["head"]["LayerNorm_0"], x)
    return dense(p["head"]["Dense_0"], last)


def turns(stack):
    """The blocks of a stack in their places, from its kinds' trees."""
    for at in range(len(jax.tree.leaves(stack[0])[0])):
        yield from (jax.tree.map(lambda leaf, at=at: leaf[at], kind) for kind in stack)
