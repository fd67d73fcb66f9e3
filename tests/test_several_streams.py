"""Connections with several streams, as networks: where they start, and what they refuse."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double

from resjax import models, nn, probes, transformers
from resjax.layers import Layers
from resjax.nn.module import Pointwise
from resjax.probes import blocks

KEY = jax.random.key(0)

MODELS = {
    "dense": lambda **parts: models.dense(14, width=8, **parts),
    "images": lambda **parts: models.preact(8, width=4, **parts),
    "bottleneck": lambda **parts: models.bottleneck(11, width=4, **parts),  # its stages are joined by projections
    "pools": lambda **parts: models.resnet(8, width=4, shortcut=nn.shortcuts.AvgPool(), **parts),
    "text": lambda **parts: transformers.transformer(14, width=8, heads=2, vocabulary=7, **parts),
}
INPUTS = {
    "dense": np.random.default_rng(3).normal(size=(4, 2, 2, 1)),
    "images": np.random.default_rng(4).normal(size=(2, 8, 8, 1)),
    "bottleneck": np.random.default_rng(4).normal(size=(2, 8, 8, 1)),
    "pools": np.random.default_rng(4).normal(size=(2, 9, 9, 1)),
    "text": np.random.default_rng(5).integers(0, 7, (2, 6)),
}
STARTS = (nn.Hyper(), nn.Hyper(dynamic=True), nn.MHC(), nn.MHCLite(), nn.Laurel())
FAST = {("dense", 1), ("dense", 2), ("images", 0), ("bottleneck", 0), ("text", 2)}


@pytest.mark.parametrize(
    ("kind", "connection"),
    [
        pytest.param(kind, connection, marks=[] if (kind, at) in FAST else pytest.mark.slow)
        for kind in MODELS
        for at, connection in enumerate(STARTS)
    ],
)
def test_it_starts_as_the_residual_network(kind, connection):
    x = jnp.asarray(INPUTS[kind])
    networks = [MODELS[kind](connection=each, norm=nn.LayerNorm(epsilon=1e-12)) for each in (nn.Residual(), connection)]
    (shared, state), (own, _) = (double(jax.jit(network.init)(KEY, x)) for network in networks)
    own |= {"stem": shared["stem"], "head": shared["head"]}
    for stage, wanted in zip(own["stages"], shared["stages"], strict=True):
        for block, branch in zip(stage, wanted, strict=True):
            block |= branch
            if "weights" in block["connection"]:  # the part that depends on the streams
                block["connection"]["weights"] *= 0
    found = [
        jax.jit(network.apply)(params, state, x)[0] for network, params in zip(networks, (shared, own), strict=True)
    ]
    close(*found, 1e-10)


@pytest.mark.parametrize("shortcut", (nn.Projection, nn.AvgPool, nn.MaxPool, nn.Pad))
def test_a_shortcut_leads_each_stream_by_itself(shortcut):
    led = shortcut(features=5, stride=2)
    block = nn.Transition(linen.Dense(1), nn.GatedStreams(n=3), shortcut=led, before=Pointwise())
    x = jnp.asarray(np.random.default_rng(6).normal(size=(2, 5, 5, 3, 4)))  # B H W n D
    place = nn.Place(1, 1)
    variables = block.init(KEY, x, place, train=False, keep=False)
    own = {"params": variables["params"].get("shortcut", {})}
    expected = jnp.stack([led.apply(own, x[..., stream, :], False) for stream in range(3)], -2)
    close(block.apply(variables, x, place, train=False, keep=False)[0], expected, 1e-12)


class Drawn(nn.wirings.streams.Streams):
    """Streams of which the head gets a mean with weights that are drawn."""

    @linen.compact
    def coefficients(self, x, place, train):
        return self.param("weights", linen.initializers.normal(), (self.n,))

    def narrow(self, x, place):
        return jnp.einsum("n,...nd->...d", self.coefficients(x, place, False), x)

    def read(self, x, c, place):
        return x.mean(-2)

    def write(self, x, f, c, place):
        return x + f[..., None, :]


def test_what_narrows_the_streams_is_another_draw_for_another_key():
    network = models.dense(4, width=3, connection=Drawn())
    one, other = (network.init(jax.random.key(seed), jnp.asarray(INPUTS["dense"]))[0] for seed in range(2))
    assert (one["narrow"]["weights"] != other["narrow"]["weights"]).all()


@pytest.mark.parametrize(
    "build",
    (
        lambda: nn.Projected(nn.Hyper()),
        lambda: models.dense(8, connection=nn.MHC(), projections=1),
        lambda: models.iresnet(28, connection=nn.GatedStreams()),
    ),
)
def test_several_streams_pass_no_projection_and_no_pixels_become_channels(build):
    with pytest.raises(ValueError, match=r"^connection (Hyper|MHC|GatedStreams): .*goes with"):
        build()


def test_a_direction_has_no_scale():
    network = models.dense(6, width=3, connection=nn.Delta())
    x = jnp.asarray(INPUTS["dense"])
    with pytest.raises(ValueError, match="connection Delta: adds the same however"):
        network.apply(*network.init(KEY, x), x, Layers(branch_scale=jnp.full(2, 0.5)))


@pytest.mark.parametrize("kind", ("dense", "text"))
def test_streams_are_no_tokens(kind):
    x = jnp.asarray(INPUTS[kind])
    norm = nn.LayerNorm(epsilon=1e-12)
    networks = [MODELS[kind](connection=each, norm=norm) for each in (nn.Residual(), nn.Hyper())]
    cosines = [probes.signals(each, *double(each.init(KEY, x)), x)["token_cosine"] for each in networks]
    np.testing.assert_allclose(*cosines, atol=1e-9)


def test_mixings_of_half_precision_are_measured_in_float32():
    network = models.dense(6, width=3, connection=nn.Hyper(), dtype=jnp.bfloat16)
    x = jnp.asarray(INPUTS["dense"], jnp.float32)
    table = probes.mixing(network, *network.init(KEY, x), x)
    np.testing.assert_allclose(table[["forward_gain", "backward_gain", "norm"]], 1)


def test_behind_its_stem_a_network_of_tokens_has_as_many_streams():
    x = jnp.asarray(INPUTS["text"])
    network = MODELS["text"](connection=nn.Hyper(n=2), norm=nn.LayerNorm())
    params, state = double(jax.jit(network.init)(KEY, x))
    behind, output = blocks.embedded(network, params, state, x)
    assert output.shape == (2, 6, 8)
    close(jax.jit(behind.apply)(params, state, output)[0], jax.jit(network.apply)(params, state, x)[0])
