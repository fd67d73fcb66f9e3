import collections
import re

import jax
import jax.numpy as jnp
import pytest

from resjax import architectures, networks
from resjax.config import Point
from resjax.errors import UserError

CIFAR = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}


def shapes(size=32, channels=3, classes=10, **choices):
    """The network and the shapes of its parameters, without computing them."""
    network = architectures.build(Point(**choices), classes)
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    return network, jax.eval_shape(network.init, jax.random.key(0), images)[0]


def count(**choices):
    return networks.parameter_count(shapes(**choices)[1])


def weights(params):
    """How many weighted layers there are on the way (`kernel`) and in projections (`joint`)."""
    found = collections.Counter()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path)
        if "kernel" in name:
            found["joint" if "joint" in name else "kernel"] += leaf.shape[0] if "stages" in name else 1
    return found


@pytest.mark.parametrize("depth", CIFAR)
def test_parameters_of_the_cifar_networks(depth):
    assert count(network="resnet", depth=depth) == CIFAR[depth]
    assert count(network="resnet", depth=depth, connection="plain") == CIFAR[depth]
    assert count(network="resnet", depth=depth, shortcut="projection") == CIFAR[depth] + 2752
    assert count(network="resnet", depth=depth, shortcut="projection", connection="plain") == CIFAR[depth]


@pytest.mark.parametrize(
    ("depth", "parameters"),
    ((18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)),
)
def test_parameters_of_the_imagenet_networks_are_those_of_torchvision(depth, parameters):
    assert count(network="imagenet", depth=depth, size=224, classes=1000) == parameters


@pytest.mark.parametrize(("depth", "factor", "parameters"), ((28, 10, 36.5e6), (16, 4, 2.7e6), (40, 4, 8.9e6)))
def test_parameters_of_the_wide_networks(depth, factor, parameters):  # Zagoruyko & Komodakis 2016, tables 4 and 5
    assert abs(count(network=f"wide(factor={factor})", depth=depth) - parameters) <= 0.06e6


def test_weights_of_the_1001_layer_network():  # He et al. 2016: 10.2M, which counts convolutions and head alone
    _, params = shapes(network="bottleneck", depth=1001)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    assert round(sum(leaf.size for path, leaf in leaves if "kernel" in jax.tree_util.keystr(path)) / 1e6, 1) == 10.2


@pytest.mark.parametrize(
    ("network", "depth", "shortcut", "projections"),
    (
        ("resnet", 20, "pad", 0),
        ("resnet", 110, "projection", 2),
        ("preact", 56, "projection", 2),
        ("bottleneck", 164, "projection", 3),
        ("imagenet", 18, "projection", 3),
        ("imagenet", 34, "projection", 3),
        ("imagenet", 34, "pad", 0),
        ("imagenet", 50, "projection", 4),
        ("imagenet", 152, "projection", 4),
    ),
)
def test_weighted_layers_are_the_depth_and_projections_are_where_the_paper_has_them(
    network, depth, shortcut, projections
):
    built, params = shapes(network=network, depth=depth, shortcut=shortcut)
    assert weights(params) == collections.Counter(kernel=depth, joint=projections)
    assert built.depth == depth
    _, plain = shapes(network=network, depth=depth, shortcut=shortcut, connection="plain")
    assert weights(plain) == collections.Counter(kernel=depth)
    built, everywhere = shapes(network=network, depth=depth, connection="projection")  # option C
    assert weights(everywhere)["joint"] == built.length


@pytest.mark.parametrize("factor", (1, 4))
def test_the_wide_networks_count_projections_but_not_the_head(factor):
    _, params = shapes(network=f"wide(factor={factor})", depth=28)
    found = weights(params)
    assert found["joint"] == (3 if factor > 1 else 2) and found["kernel"] - 1 + 3 == 28


@pytest.mark.parametrize(
    ("network", "depth", "nearest"),
    (
        ("resnet", 21, "depth 2 + 6·n; nearest: 20 and 26"),
        ("bottleneck", 1000, "depth 2 + 9·n; nearest: 992 and 1001"),
        ("wide(factor=2)", 20, "depth 4 + 6·n; nearest: 16 and 22"),
        ("imagenet", 20, "has depth 18, 34, 50, 101, 152"),
    ),
)
def test_an_impossible_depth_is_refused(network, depth, nearest):
    with pytest.raises(UserError, match=f"depth {depth}: ") as error:
        architectures.build(Point(network=network, depth=depth), 10)
    assert nearest in str(error.value)


def test_possible_depths():
    assert list(architectures.depths(Point(network="bottleneck", depth=30))) == [11, 20, 29]
    assert architectures.depths(Point(network="imagenet", depth=60)) == [18, 34, 50]


@pytest.mark.parametrize(("branch", "depth"), (("basic", 50), ("bottleneck", 34)))
def test_a_depth_with_the_branch_of_another_is_refused(branch, depth):
    with pytest.raises(UserError, match=f"--branch={branch}"):
        architectures.build(Point(network="imagenet", depth=depth, branch=branch), 10)


@pytest.mark.parametrize(("network", "branch"), (("dense", "basic"), ("resnet", "dense(layers=1)")))
def test_a_branch_for_streams_of_another_shape_is_refused(network, branch):
    with pytest.raises(UserError, match=f"--branch={re.escape(branch)}: not for --network={network}"):
        architectures.build(Point(network=network, depth=20, branch=branch), 10)
