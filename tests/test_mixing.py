"""What streams do with each other, against a Python loop over the blocks' own numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double

from resjax import models, nn
from resjax.probes import mixing, reads
from resjax.probes.stream_mixing import MIXED

N = 3
X = np.random.default_rng(0).normal(size=(5, 2, 2, 1))
KINDS = (
    nn.MHC(n=N, iterations=5),
    pytest.param(nn.Hyper(n=N), marks=pytest.mark.slow),
    pytest.param(nn.Hyper(n=N, dynamic=True), marks=pytest.mark.slow),
    pytest.param(nn.MHCLite(n=N), marks=pytest.mark.slow),
)


def made(connection, depth=10):
    """A network whose numbers are drawn at random: (network, params, state, x)."""
    network = models.dense(depth, width=6, connection=connection, norm=nn.LayerNorm())
    params, state = double(jax.jit(network.init)(jax.random.key(0), jnp.asarray(X)))
    draw = np.random.default_rng(1)
    params["stages"] = jax.tree.map(lambda leaf: leaf + 0.3 * draw.normal(size=leaf.shape), params["stages"])
    return network, params, state, jnp.asarray(X)


def by_hand(network, params, state, x):
    """Of each block the streams before it, and read, mix and write for each of the inputs."""
    _, _, streams = network.apply(params, state, x, probe=lambda trace: trace.x)  # L B n D
    (stack,) = network.stages
    found = []
    for number, stream in enumerate(streams):
        own = jax.tree.map(lambda leaf, at=number: leaf[at], params["stages"][0][0]["connection"])
        c = stack.blocks[0].connection.apply(
            {"params": own}, stream, stack.place(number + 1), False, method="coefficients"
        )
        shapes = (len(x), N), (len(x), N, N), (len(x), N)
        found.append([np.broadcast_to(each, shape) for each, shape in zip(c, shapes, strict=True)])
    return np.asarray(streams), found


@pytest.mark.parametrize("connection", KINDS)
def test_the_table_is_that_of_a_loop(connection):
    arguments = made(connection)
    table = mixing(*arguments)
    assert list(table.columns) == ["block", *MIXED]
    streams, numbers = by_hand(*arguments)
    product = np.broadcast_to(np.eye(N), (len(X), N, N))
    for (_, row), stream, (_, mix, _) in zip(table.iterrows(), streams, numbers, strict=True):
        product = mix @ product
        unit = stream / np.linalg.norm(stream, axis=-1, keepdims=True)
        grams = unit @ unit.swapaxes(-1, -2)
        squares = (stream**2).sum(-1)
        expected = (
            abs(product).sum(-1).max(),
            abs(product).sum(-2).max(),
            np.linalg.norm(product, 2, (-2, -1)).max(),
            abs(mix.sum(-2) - 1).max(),
            (grams.sum((-2, -1)) - N).mean() / (N * (N - 1)),
            (squares.max(-1) / squares.sum(-1)).mean(),
        )
        np.testing.assert_allclose(row[list(MIXED)].astype(float), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("connection", KINDS)
def test_who_reads_whom_is_that_of_a_loop(connection):
    arguments = made(connection)
    found = reads(*arguments)
    _, numbers = by_hand(*arguments)
    length = len(numbers)
    for reader in range(length + 1):
        for writer in range(reader + 1):
            held = np.ones((len(X), N)) if writer == 0 else numbers[writer - 1][2]
            for block in range(writer, reader):
                held = np.einsum("bst,bt->bs", numbers[block][1], held)
            read = np.full((len(X), N), 1 / N) if reader == length else numbers[reader][0]
            close(found[reader, writer], (read * held).sum(-1).mean(), 1e-9)
    assert (np.triu(found, 1) == 0).all()


def test_at_the_start_hyper_connections_read_all_as_a_residual_network_does():
    network = models.dense(12, width=6, connection=nn.Hyper(), norm=nn.LayerNorm())
    found = reads(network, *network.init(jax.random.key(0), jnp.asarray(X)), jnp.asarray(X))
    close(found, np.tri(6), 1e-6)


def test_streams_of_an_empty_image_are_orthogonal_and_have_no_share():
    network = models.dense(6, width=4, connection=nn.Hyper(n=N), norm=nn.NoNorm())
    x = jnp.asarray(X).at[0].set(0)  # biases start at zero, so its streams stay so
    params, state = network.init(jax.random.key(0), x)
    found, alone = (mixing(network, params, state, each) for each in (x, x[1:]))
    np.testing.assert_allclose(found["largest_share"], alone["largest_share"], rtol=1e-6)
    np.testing.assert_allclose(found["stream_cosine"], alone["stream_cosine"] * 4 / 5, rtol=1e-6)


def test_networks_of_one_stream_or_of_several_shapes_are_refused():
    for network, says in (
        (models.dense(8), "connection Residual: needs one with streams that a block mixes"),
        (models.resnet(8, connection=nn.Hyper()), "its streams change their shape"),
        (models.dense(8, connection=nn.GatedStreams()), "connection GatedStreams: its streams do not mix"),
    ):
        with pytest.raises(ValueError, match=says):
            mixing(network, *jax.jit(network.init)(jax.random.key(0), jnp.ones((2, 8, 8, 1))), jnp.ones((2, 8, 8, 1)))
