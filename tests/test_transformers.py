"""Transformers against the papers' formulas, written out in numpy, and against the counts of a public model."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import resjax as rj
from resjax.layers import Layers
from resjax.nn.place import Place
from tests.written_out import BLOCKS, HEADS, TOKENS, WIDTH, attention, by_hand, dense, layer_norm, mlp, turns

CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # JAX takes the softmax in float32, whatever the precision
NAMED = {
    "pre": rj.nn.PRE_NORM,
    "post": rj.nn.POST_NORM,
    "deepnorm": rj.nn.DEEPNORM,
    "keel": rj.nn.KEEL,
    "lns": rj.nn.LNS,
    "peri": rj.nn.PERI,
    "mix_ln": rj.nn.mix_ln(0.4),
    "layerscale": rj.nn.layerscale(),
    "rezero": rj.nn.REZERO,
    "scaled": rj.nn.scaled(0.5),
    "complete_p": rj.nn.complete_p(base=4),
}


def built(**options):
    network = rj.models.transformer(2 + 4 * BLOCKS, WIDTH, HEADS, vocabulary=11, **options)
    params, state = network.init(jax.random.key(0), TOKENS)
    leaves, form = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    params = form.unflatten([leaf.astype(jnp.float64) for leaf in moved])  # biases and norms' parameters count, too
    return network, params, network.apply(params, state, TOKENS)[0]


SIMPLE = {"peri", "rezero", "scaled", "layerscale"}  # of which branches and connections have tests of their own


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SIMPLE else name for name in NAMED]
)
def test_the_network_is_the_one_written_out(name):
    _, params, logits = built(order=NAMED[name])
    np.testing.assert_allclose(logits, by_hand(name, params), **CLOSE)


@pytest.mark.parametrize("blocks, alpha, beta", [(100, 3.7606, 0.18803), (1000, 6.6874, 0.10574)])
def test_the_constants_of_deepnorm_are_the_papers(blocks, alpha, beta):
    place = Place(1, 2 * blocks, 2)
    assert rj.nn.DEEPNORM.connection.factors(place)[0] == pytest.approx(alpha, abs=5e-5)
    c, power = rj.nn.DEEPNORM.gain
    assert c * (2 * blocks) ** -power == pytest.approx(beta, abs=5e-6)


def test_deepnorm_makes_values_output_and_mlp_smaller_and_leaves_queries_and_keys():
    def stds(order):
        network = rj.models.transformer(14, 64, order=order)
        params, _ = network.init(jax.random.key(0), TOKENS)
        return [
            kind["branch"][name]["kernel"].std()
            for kind in params["stages"][0]
            for name in kind["branch"]
            if "Dense" in name
        ]

    beta = (8 * BLOCKS) ** -0.25
    ratios = np.array(stds(rj.nn.DEEPNORM)) / np.array(stds(rj.nn.POST_NORM))
    np.testing.assert_allclose(ratios, [1, 1, beta, beta, beta, beta], rtol=1e-6)


@pytest.mark.parametrize("turns, start", [(12, 0.1), (18, 0.1), (24, 1e-5), (36, 1e-6)])
def test_layerscale_starts_by_depth_as_reported_of_cait(turns, start):
    np.testing.assert_allclose(rj.theory.paths(rj.nn.LayerScale(), 2 * turns, kinds=2)[1], start**2)
    assert rj.nn.LayerScale().factors(Place(1, 2 * turns, 2))[1] == start


def count(network, *shape):
    params, _ = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.int32))
    return rj.parameter_count(params)


def test_gpt2_small_has_its_parameters():
    network = rj.models.transformer(50, 768, 12, vocabulary=50257, places="learned", tied=True)
    assert count(network, 1024) == 124_439_808


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_parameters_in_closed_form(gated, parallel):
    blocks = 3
    depth = 2 + (2 if parallel else 4) * blocks
    network = rj.models.transformer(depth, 16, 2, vocabulary=20, gated=gated, parallel=parallel, ratio=3.0)
    norms = 1 if parallel else 2
    attention = 4 * (16 * 16 + 16)
    mlp = (2 if gated else 1) * (16 * 48 + 48) + 48 * 16 + 16
    ends = 20 * 16 + 2 * 16 + 16 * 20 + 20
    assert network.depth == depth
    assert count(network, 5) == blocks * (attention + mlp + norms * 2 * 16) + ends


@pytest.mark.parametrize("left_out", (None, 0))
def test_half_of_the_values_are_those_of_the_first_attention_that_there_is(left_out):
    network, params, logits = built(connection=rj.nn.ValueResidual())
    if left_out is not None:
        state = {"stem": {}, "stages": [({}, {})], "head": {}}
        logits = network.apply(params, state, TOKENS, Layers(keep=jnp.arange(network.length) != left_out))[0]
    p = jax.tree.map(np.asarray, params)
    x = math.sqrt(WIDTH) * p["stem"]["embedding"][np.asarray(TOKENS)]
    first = None
    for n, own in enumerate(turns(p["stages"][0])):
        if n == left_out:
            continue
        z = layer_norm(own["branch"]["LayerNorm_0"], x)
        x = x + (mlp(own["branch"], z) if n % 2 else attention(own["branch"], z, first=first))
        first = dense(own["branch"]["Dense_2"], z) if first is None and not n % 2 else first
    np.testing.assert_allclose(logits, dense(p["head"]["Dense_0"], layer_norm(p["head"]["LayerNorm_0"], x)), **CLOSE)


def test_a_token_does_not_see_those_behind_it():
    network, params, logits = built()
    other = TOKENS.at[:, 3:].set(0)
    changed = network.apply(params, {"stem": {}, "stages": [({}, {})], "head": {}}, other)[0]
    np.testing.assert_array_equal(changed[:, :3], logits[:, :3])
    assert (changed[:, 3:] != logits[:, 3:]).any()


def test_a_patch_sees_all_others_and_its_places_alone_tell_them_apart():
    network = rj.models.vit(6, 16, 2, patch=2)
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    params, state = network.init(jax.random.key(1), images)
    mixed = images.reshape(2, 4, 2, 8, 1)[:, ::-1].reshape(images.shape)  # rows of patches change places
    one, other = (network.apply(params, state, each)[0] for each in (images, mixed))
    assert np.abs(one - other).max() > 1e-4
    params["stem"]["places"] = jnp.zeros_like(params["stem"]["places"])
    one, other = (network.apply(params, state, each)[0] for each in (images, mixed))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_places_that_turn_leave_products_that_depend_on_the_distance_alone():
    x = jnp.broadcast_to(jax.random.normal(jax.random.key(0), (1, 1, 1, 6)), (1, 7, 1, 6))
    x = rj.nn.attention.rotated(x)[0, :, 0]  # T D
    products = x @ x.T
    for distance in range(7):
        along = np.diagonal(products, distance)
        np.testing.assert_allclose(along, along[0], rtol=1e-12)


def test_a_head_that_is_tied_reads_with_the_stems_vectors():
    network, params, logits = built(tied=True)
    assert "embedding" not in params["head"]
    state = {"stem": {}, "stages": [({}, {})], "head": {}}
    seen = network.apply(params, state, TOKENS, probe=lambda trace: trace.y)[2]
    last = layer_norm(params["head"]["LayerNorm_0"], np.asarray(seen[-1]))
    np.testing.assert_allclose(logits, last @ params["stem"]["embedding"].T, **CLOSE)


def test_a_parallel_block_adds_attention_and_mlp_of_the_same_normed_tokens():
    network = rj.models.transformer(4, WIDTH, HEADS, vocabulary=11, parallel=True)
    params, state = network.init(jax.random.key(0), TOKENS)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    logits = network.apply(params, state, TOKENS)[0]
    p = jax.tree.map(lambda leaf: np.asarray(leaf), params)
    (own,) = turns(p["stages"][0])
    own = own["branch"]
    x = math.sqrt(WIDTH) * p["stem"]["embedding"][np.asarray(TOKENS)]
    z = layer_norm(own["LayerNorm_0"], x)
    x = x + attention(own["attention"], z) + mlp(own["mlp"], z)
    expected = dense(p["head"]["Dense_0"], layer_norm(p["head"]["LayerNorm_0"], x))
    np.testing.assert_allclose(logits, expected, **CLOSE)


def test_a_swiglu_is_the_gate_times_the_other_half():
    branch = rj.nn.MLP(gated=True, activation=jax.nn.silu, ratio=2.0, order=rj.nn.Order(between=("activation",)))
    x = jax.random.normal(jax.random.key(0), (3, 4))
    p = branch.init(jax.random.key(1), x, False)["params"]
    gate, up = (x @ p[f"Dense_{number}"]["kernel"] for number in (1, 0))
    expected = gate / (1 + jnp.exp(-gate)) * up @ p["Dense_2"]["kernel"]
    np.testing.assert_allclose(branch.apply({"params": p}, x, False), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"width": 30}, "width 30: must be a multiple of 4, the heads"),
        ({"width": 12}, "3 units a head: rotary places need an even number"),
        ({"depth": 12}, "nearest: 10 and 14"),
        ({"order": rj.nn.DEEPNORM, "connection": rj.nn.ReZero()}, "connection ReZero: this order has its own, Scaled"),
        ({"branch": rj.nn.Basic()}, "a transformer has its own branches"),
        ({"places": "sinusoidal"}, "must be one of 'rotary', 'learned', 'none'"),
    ],
)
def test_what_cannot_be_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        network = rj.models.transformer(options.pop("depth", 10), **options)
        network.init(jax.random.key(0), TOKENS)


def test_a_survival_probability_scales_what_the_branch_adds_and_not_the_values():
    f = jnp.ones((1, 3, 2, 4))
    scaled = rj.nn.ValueResidual(attends=True).scaled(f, jnp.asarray(0.5))
    assert (scaled[:, :, 0] == 0.5).all() and (scaled[:, :, 1] == 1).all()


def test_values_are_kept_of_an_attention_alone():
    for build, options in ((rj.models.dense, {}), (rj.models.transformer, {"parallel": True})):
        with pytest.raises(ValueError, match="connection ValueResidual: goes with"):
            build(10, connection=rj.nn.ValueResidual(), norm=rj.nn.LayerNorm(), **options)


def test_images_are_no_tokens_and_patches_must_fill_them():
    with pytest.raises(ValueError, match="inputs are float64 8×8×1: a network of tokens needs integers"):
        rj.models.transformer(6).init(jax.random.key(0), jnp.ones((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="patches of 3×3 pixels do not fill images of 8×8×1"):
        rj.models.vit(6, patch=3).init(jax.random.key(0), jnp.ones((1, 8, 8, 1)))
