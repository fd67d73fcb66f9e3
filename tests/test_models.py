import collections
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax import models, nn
from resjax.cost import parameter_count
from resjax.nn import initializers

CIFAR = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
EVERY = (
    partial(models.dense, 20),
    partial(models.resnet, 20),
    partial(models.preact, 20),
    partial(models.bottleneck, 29),
    partial(models.wide, 28, 10),
    partial(models.imagenet, 18),
    partial(models.imagenet, 50),
    partial(models.iresnet, 28),
)


def shapes(network, size=32):
    """The shapes of its parameters, without computing them."""
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(network.init, jax.random.key(0), images)[0]


def count(network, size=32):
    return parameter_count(shapes(network, size))


def weights(params):
    """How many weighted layers there are on the way (`kernel`) and in projections (`shortcut`)."""
    found = collections.Counter()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path)
        if "kernel" in name:
            found["shortcut" if "shortcut" in name else "kernel"] += leaf.shape[0] if "stages" in name else 1
    return found


@pytest.mark.parametrize("depth", CIFAR)
def test_parameters_of_the_cifar_networks(depth):
    assert count(models.resnet(depth)) == CIFAR[depth]
    assert count(models.resnet(depth, connection=nn.Plain())) == CIFAR[depth]
    assert count(models.resnet(depth, shortcut=nn.Projection())) == CIFAR[depth] + 2752
    assert count(models.resnet(depth, shortcut=nn.Projection(), connection=nn.Plain())) == CIFAR[depth]


@pytest.mark.parametrize(
    ("depth", "parameters"),
    ((18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)),
)
def test_parameters_of_the_imagenet_networks_are_those_of_torchvision(depth, parameters):
    assert count(models.imagenet(depth, classes=1000), size=224) == parameters


@pytest.mark.parametrize(("depth", "factor", "parameters"), ((28, 10, 36.5e6), (16, 4, 2.7e6), (40, 4, 8.9e6)))
def test_parameters_of_the_wide_networks(depth, factor, parameters):  # Zagoruyko & Komodakis 2016, tables 4 and 5
    assert abs(count(models.wide(depth, factor)) - parameters) <= 0.06e6


def test_weights_of_the_1001_layer_network():  # He et al. 2016: 10.2M, which counts convolutions and head alone
    leaves = jax.tree_util.tree_leaves_with_path(shapes(models.bottleneck(1001)))
    assert round(sum(leaf.size for path, leaf in leaves if "kernel" in jax.tree_util.keystr(path)) / 1e6, 1) == 10.2


@pytest.mark.parametrize(
    ("model", "depth", "shortcut", "projections"),
    (
        (models.resnet, 20, nn.Pad(), 0),
        (models.resnet, 110, nn.Projection(), 2),
        (models.preact, 56, nn.Projection(), 2),
        (models.bottleneck, 164, nn.Projection(), 3),
        (models.imagenet, 18, nn.Projection(), 3),
        (models.imagenet, 34, nn.Projection(), 3),
        (models.imagenet, 34, nn.Pad(), 0),
        (models.imagenet, 50, nn.Projection(), 4),
        (models.imagenet, 152, nn.Projection(), 4),
    ),
)
def test_weighted_layers_are_the_depth_and_projections_are_where_the_paper_has_them(
    model, depth, shortcut, projections
):
    network = model(depth, shortcut=shortcut)
    assert weights(shapes(network)) == collections.Counter(kernel=depth, shortcut=projections)
    assert network.depth == depth
    plain = model(depth, shortcut=shortcut, connection=nn.Plain())
    assert weights(shapes(plain)) == collections.Counter(kernel=depth)
    everywhere = model(depth, shortcut=shortcut, connection=nn.Projected())  # option C
    assert weights(shapes(everywhere)) == collections.Counter(kernel=depth, shortcut=everywhere.length)


@pytest.mark.parametrize("factor", (1, 4))
def test_the_wide_networks_count_projections_but_not_the_head(factor):
    found = weights(shapes(models.wide(28, factor)))
    assert found["shortcut"] == (3 if factor > 1 else 2) and found["kernel"] - 1 + 3 == 28


@pytest.mark.parametrize(
    ("build", "depth", "nearest"),
    (
        (models.resnet, 21, "depth 2 + 6·n; nearest: 20 and 26"),
        (models.bottleneck, 1000, "depth 2 + 9·n; nearest: 992 and 1001"),
        (partial(models.wide, factor=2), 20, "depth 4 + 6·n; nearest: 16 and 22"),
        (models.imagenet, 20, "has depth 18, 34, 50, 101, 152"),
    ),
)
def test_an_impossible_depth_is_refused(build, depth, nearest):
    with pytest.raises(ValueError, match=f"depth {depth}: ") as error:
        build(depth)
    assert nearest in str(error.value)


def test_possible_depths():
    assert list(models.BOTTLENECK.depths(30)) == [11, 20, 29]
    assert models.RESNET_IMAGENET.depths(60) == [18, 34, 50]


@pytest.mark.parametrize(("branch", "depth"), ((nn.Basic(), 50), (nn.Bottleneck(), 34)), ids=repr)
def test_a_depth_with_the_branch_of_another_is_refused(branch, depth):
    with pytest.raises(ValueError, match=f"branch {type(branch).__name__}: imagenet of depth {depth}"):
        models.imagenet(depth, branch=branch)


@pytest.mark.parametrize(("model", "branch"), ((models.dense, nn.Basic()), (models.resnet, nn.Dense(layers=1))))
def test_a_branch_for_streams_of_another_shape_is_refused(model, branch):
    says = f"branch {type(branch).__name__}: not for this network, whose stream has another shape"
    with pytest.raises(ValueError, match=re.escape(says)):
        model(20, branch=branch)


def test_a_part_with_a_style_of_its_own_keeps_it():
    (stack,) = models.dense(6, branch=nn.Dense(norm=nn.LayerNorm()), norm=nn.RMSNorm(), order=nn.POST).stages
    (block,) = stack.blocks
    assert (block.branch.norm, block.branch.order) == (nn.LayerNorm(), nn.POST)
    assert block.after.norm == nn.RMSNorm()


@pytest.mark.parametrize("build", EVERY, ids=lambda build: f"{build.func.__name__}{build.args}")
def test_equal_networks_are_equal_and_hash_alike(build):
    assert build() == build() and hash(build()) == hash(build())
    assert build() != build(norm=nn.RMSNorm())


def test_equal_networks_compile_once():
    traced = []

    @partial(jax.jit, static_argnames="network")
    def run(network, params, state, x):
        traced.append(network)
        return network.apply(params, state, x)[0]

    x = jnp.ones((2, 4, 4, 1), jnp.float32)

    def build(**parts):
        return models.dense(6, 4, initializer=initializers.Fixup(), connection=nn.ReZero(alpha=1.0), **parts)

    params, state = build().init(jax.random.key(0), x)
    for _ in range(3):
        run(build(), params, state, x)
    assert len(traced) == 1
    run(build(activation=jax.nn.tanh), params, state, x)
    assert len(traced) == 2


@pytest.mark.parametrize(("model", "depth", "shares"), ((models.preact, 8, True), (models.wide, 10, False)))
def test_the_two_ways_of_the_first_unit_of_preact_share_its_pre_activation(model, depth, shares):
    (block,) = model(depth, width=4).stages[0].blocks
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 4), jnp.float64)
    variables = block.init(jax.random.key(1), x, nn.Place(1, 3), train=False)
    zero = jax.tree.map(jnp.zeros_like, variables["params"]["branch"])  # what is left is the skip
    variables = variables | {"params": variables["params"] | {"branch": zero}}
    y, _ = block.apply(variables, x, nn.Place(1, 3), train=False)
    np.testing.assert_allclose(y, np.maximum(x, 0) / (1 + 1e-5) ** 0.5 if shares else x, rtol=1e-6)
