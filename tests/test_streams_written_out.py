"""Connections with several streams, written out in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close

from resjax import nn
from resjax.nn.place import Place
from resjax.nn.wirings.doubly_stochastic import sinkhorn
from resjax.nn.wirings.streams import spread

KEY = jax.random.key(0)
N, D = 4, 6
X = np.random.default_rng(0).normal(size=(3, 5, N, D))  # B T n D
F = np.random.default_rng(1).normal(size=(3, 5, D))
PLACE = Place(jnp.asarray(3), 8)


def made(connection, x=X):
    """The connection's parameters, drawn at random, and what it reads and writes with them."""
    x = jnp.asarray(x)
    params = connection.init(KEY, x, method="coefficients", place=PLACE, train=False)["params"]
    leaves, tree = jax.tree.flatten(params)
    draw = np.random.default_rng(2)
    params = jax.tree.unflatten(tree, [leaf + draw.normal(size=leaf.shape) for leaf in leaves])
    c = connection.apply({"params": params}, x, PLACE, False, method="coefficients")
    return params, connection.read(x, c, PLACE), connection.write(x, jnp.asarray(F), c, PLACE)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normed(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def mixed(x, read, mix, write):
    """z and X′ for numbers of each token: B T n, B T n n, B T n."""
    inward = np.zeros((*x.shape[:2], D))
    after = np.zeros(x.shape)
    for b, t in np.ndindex(x.shape[:2]):
        inward[b, t] = read[b, t] @ x[b, t]
        after[b, t] = mix[b, t] @ x[b, t] + np.outer(write[b, t], F[b, t])
    return inward, after


def tokens(array):
    return np.broadcast_to(array, (*X.shape[:2], *np.shape(array)))


def test_hyper_connections_written_out():
    params, z, after = made(nn.Hyper())
    close((z, after), mixed(X, *(tokens(params[name]) for name in ("read", "mix", "write"))))


def test_dynamic_hyper_connections_written_out():
    p, z, after = made(nn.Hyper(dynamic=True))
    centred = X - X.mean(-1, keepdims=True)
    unit = centred / np.sqrt(X.var(-1, keepdims=True) + 1e-6)
    read = p["read"] + p["inward"] * np.tanh(unit @ p["read_weights"])
    mix = p["mix"] + p["inward"] * np.tanh(unit @ p["mix_weights"]).swapaxes(-1, -2)  # row s of A: what s gives
    write = p["write"] + p["onward"] * np.tanh(unit @ p["write_weights"])
    close((z, after), mixed(X, read, mix, write))


def projected(params):
    """The logits of reading, writing and mixing, before the bias of each is scaled."""
    found = normed(X.reshape(*X.shape[:2], -1)) @ params["weights"]
    sizes = N, N, found.shape[-1] - 2 * N
    return np.split(np.repeat(params["scales"], sizes) * found + params["bias"], np.cumsum(sizes)[:-1], axis=-1)


@pytest.mark.parametrize("start", ("uniform", "identity"))
def test_mhc_written_out(start):
    params, z, after = made(nn.MHC(start=start, iterations=7))
    read, write, mix = projected(params)
    mix = np.exp(mix.reshape(*mix.shape[:2], N, N))
    for _ in range(7):
        mix = mix / mix.sum(-2, keepdims=True)
        mix = mix / mix.sum(-1, keepdims=True)
    close((z, after), mixed(X, sigmoid(read), mix, 2 * sigmoid(write)))


def test_mhc_lite_written_out():
    params, z, after = made(nn.MHCLite())
    read, write, weights = projected(params)
    weights = np.exp(weights) / np.exp(weights).sum(-1, keepdims=True)
    mix = sum(
        weights[..., k, None, None] * np.eye(N)[list(one)] for k, one in enumerate(itertools.permutations(range(N)))
    )
    close((z, after), mixed(X, sigmoid(read), mix, 2 * sigmoid(write)))
    close(mix.sum(-1), np.ones(mix.shape[:-1]))
    close(mix.sum(-2), np.ones(mix.shape[:-1]))


def test_gated_streams_written_out():
    params, z, after = made(nn.GatedStreams())
    expected = sum(sigmoid(params["inward"][s]) * normed(X[:, :, s]) for s in range(N)) / N
    close((z, after), (expected, X + 2 * sigmoid(params["onward"])[:, None] * F[:, :, None]))


def test_laurel_written_out():
    x = X[:, :, 0]
    params, z, after = made(nn.Laurel(rank=2), x)
    alpha, beta = params["scales"]
    close((z, after), (x, alpha * F + beta * (x + x @ params["inward"] @ params["onward"])))


def test_delta_written_out_and_what_it_does_at_its_ends():
    x = X[:, :, 0]
    params, z, after = made(nn.Delta(), x)
    k = F / np.sqrt((F**2).sum(-1, keepdims=True) + 1e-6)
    beta = 2 * sigmoid(x @ params["amount"]["kernel"] + params["amount"]["bias"])
    along = (k * x).sum(-1, keepdims=True)
    close((z, after), (x, x + beta * (x @ params["value"]["kernel"] - along) * k))
    ones = jnp.ones((*x.shape[:-1], 1))
    replaced, reflected = (
        nn.Delta().write(jnp.asarray(x), jnp.asarray(F), c, PLACE) for c in ((ones, 0.7 * ones), (2 * ones, 0 * ones))
    )
    close((k * replaced).sum(-1), np.full(x.shape[:-1], 0.7), 1e-5)
    close(np.linalg.norm(reflected, axis=-1), np.linalg.norm(x, axis=-1), 1e-5)


def test_mhc_starts_from_the_identity_with_three_on_what_is_its_own():
    connection = nn.MHC(start="identity")
    params = connection.init(KEY, jnp.asarray(X), method="coefficients", place=PLACE, train=False)["params"]
    params["weights"] *= 0
    read, mix, write = connection.apply({"params": params}, jnp.asarray(X), PLACE, False, method="coefficients")
    home = np.arange(N) == 2  # the third block's
    close(read, tokens(sigmoid(np.where(home, 3.0, -3.0))), 1e-6)
    even = np.exp(np.where(np.eye(N) == 1, 3.0, -3.0))  # all rows and columns have one sum, by which it is divided
    close(mix, tokens(even / even[0].sum()), 1e-6)
    close(write, tokens(np.ones(N)), 1e-6)


def test_laurel_starts_as_the_residual_network():
    x = jnp.asarray(X[:, :, 0])
    c = nn.Laurel().init_with_output(KEY, x, method="coefficients", place=PLACE, train=False)[0]
    close(nn.Laurel().write(x, jnp.asarray(F), c, PLACE), x + F, 1e-6)


def test_mhc_of_half_precision_mixes_as_in_float32():
    x = jnp.asarray(X, jnp.bfloat16)
    params = nn.MHC().init(KEY, x, method="coefficients", place=PLACE, train=False)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.5 * jax.random.normal(KEY, leaf.shape, leaf.dtype), params)
    half, single = (
        nn.MHC().apply({"params": params}, each, PLACE, False, method="coefficients")
        for each in (x, x.astype(jnp.float32))
    )
    assert half.mix.dtype == jnp.bfloat16 and single.mix.dtype == jnp.float32
    close(half.mix.astype(jnp.float32), single.mix.astype(jnp.bfloat16).astype(jnp.float32), 0)


@pytest.mark.parametrize(
    "connection", (nn.Hyper(dynamic=True), nn.MHC(), nn.MHCLite(), nn.GatedStreams(), nn.Laurel(), nn.Delta())
)
def test_the_pixels_of_an_image_are_as_many_tokens(connection):
    x = np.random.default_rng(7).normal(size=(2, 3, 4, *((N,) if connection.widens else ()), D))  # B H W … D
    f = jnp.asarray(np.random.default_rng(8).normal(size=(2, 3, 4, D)))
    params = connection.init(KEY, jnp.asarray(x), method="coefficients", place=PLACE, train=False)

    def written(x, f):
        c = connection.apply(params, x, PLACE, False, method="coefficients")
        return connection.read(x, c, PLACE), connection.write(x, f, c, PLACE)

    flat = [jnp.asarray(each).reshape(2, 12, *each.shape[3:]) for each in (x, f)]
    for pixels, row in zip(written(jnp.asarray(x), f), written(*flat), strict=True):
        close(pixels.reshape(row.shape), row, 1e-12)


def test_sinkhorns_rows_are_exact_and_its_columns_nearly():
    found = sinkhorn(jax.random.normal(KEY, (9, N, N), jnp.float64), 20)
    close(found.sum(-1), np.ones((9, N)), 1e-14)
    assert 0 < abs(found.sum(-2) - 1).max() < 1e-4 and (found > 0).all()
    assert (jnp.linalg.norm(found, 2, axis=(-2, -1)) < 1 + 1e-4).all()  # as of every doubly stochastic matrix


def test_sinkhorns_rows_are_exact_however_far_the_logits_are_apart():
    logits = jnp.asarray([[300.0, 0.0], [200.0, -100.0]], jnp.float32)  # exp(-300) and exp(-400) are 0 in float32
    found, slope = jax.value_and_grad(lambda logits: (sinkhorn(logits, 20) ** 2).sum())(logits)
    close(sinkhorn(logits, 20).sum(-1), np.ones(2), 1e-6)
    assert np.isfinite(found) and np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("connection", "count"),
    (
        (nn.Hyper(), N * (N + 2)),
        (nn.Hyper(dynamic=True), N * (N + 2) + D * (N + 2) + 2),
        (nn.MHC(), N * D * (N * N + 2 * N) + N * N + 2 * N + 3),
        (nn.MHCLite(), N * D * (24 + 2 * N) + 24 + 2 * N + 3),
        (nn.GatedStreams(), N * (D + 1)),
        (nn.Laurel(rank=2), 4 * D + 2),
        (nn.Delta(), 2 * D + 1),
        (nn.AttentionResidual(blocks=0), D),
        (nn.DenseFormer(), PLACE.length + 1),
    ),
)
def test_parameters_are_as_many_as_the_formula_says(connection, count):
    x = connection.widen(jnp.asarray(X[:, :, 0]), Place(0, PLACE.length))
    params = connection.init(KEY, x, method="coefficients", place=PLACE, train=False)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize(("height", "width"), ((6, 6), (7, 5), (1, 9)))
def test_where_a_stage_opens_the_numbers_of_a_pixel_serve_those_that_it_stands_for(height, width):
    numbers = np.random.default_rng(6).normal(size=(2, -(-height // 2), -(-width // 2), N))
    found = spread(jnp.asarray(numbers), (2, height, width))
    for row, column in np.ndindex(height, width):
        close(found[:, row, column], numbers[:, row // 2, column // 2])
