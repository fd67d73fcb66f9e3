import dataclasses
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double

from resjax import architectures, networks
from resjax.config import Point
from resjax.errors import UserError
from resjax.stack import Layers

IMAGES = jax.random.normal(jax.random.key(0), (6, 4, 4, 1))  # B H W C


def built(**choices):
    network = architectures.build(Point(**choices), classes=10)
    params, state = jax.jit(network.init)(jax.random.key(1), IMAGES)
    return network, double(params), double(state)


def kernels(params):
    """(matrices, projections): how many weight matrices there are, the layer axis counted out."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    found = [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves if "kernel" in jax.tree_util.keystr(path)]
    count = {name: leaf.shape[0] if "stages" in name else 1 for name, leaf in found}
    return sum(count.values()), sum(n for name, n in count.items() if "joint" in name)


@pytest.mark.parametrize("branch", ("dense", "dense(layers=1)", "dense(layers=3)"))
@pytest.mark.parametrize("connection", ("plain", "projection"))
def test_depth_counts_the_weighted_layers_but_not_the_projections(branch, connection):
    network, params, _ = built(depth=20, width=3, branch=branch, connection=connection)
    matrices, projections = kernels(params)
    assert network.depth == 20 == matrices - projections
    assert projections == (network.length if connection == "projection" else 0)


@pytest.mark.parametrize("norm", ("none", "batch"))
def test_parameters_are_as_many_as_the_formula_says(norm):
    _, params, _ = built(depth=20, width=7, norm=norm)
    layers = (16 * 7 + 7) + 18 * (7 * 7 + 7) + (7 * 10 + 10)
    scales_and_shifts = {"none": 0, "batch": 2 * 7 * (18 + 1)}[norm]  # one norm a branch layer, one in the head
    assert networks.parameter_count(params) == layers + scales_and_shifts


@pytest.mark.parametrize(
    ("depth", "branch", "nearest"),
    ((5, "dense", ("4", "6")), (1, "dense", ("4",)), (3, "dense", ("4",)), (9, "dense(layers=3)", ("8", "11"))),
)
def test_an_impossible_depth_is_refused_with_the_nearest(depth, branch, nearest):
    with pytest.raises(UserError) as error:
        built(depth=depth, branch=branch)
    assert f"depth {depth}" in str(error.value) and str(error.value).endswith("nearest: " + " and ".join(nearest))


def test_possible_depths_are_those_that_build():
    def possible(depth):
        try:
            return bool(architectures.build(Point(depth=depth, branch="dense(layers=3)"), 10))
        except UserError:
            return False

    assert list(architectures.depths(Point(depth=30, branch="dense(layers=3)"))) == [
        d for d in range(1, 31) if possible(d)
    ]


def test_a_plain_net_deepened_by_identity_layers_computes_the_same():
    shallow, params, state = built(depth=20, width=5, connection="plain", norm="none", order="post")
    deep = architectures.build(Point(depth=56, width=5, connection="plain", norm="none", order="post"), classes=10)
    (stack,) = params["stages"]

    def extend(leaf):  # the stream is ≥ 0 after a ReLU, so weights I and biases 0 pass it on
        identity = np.eye(5) if leaf.ndim == 3 else np.zeros(5)
        return jnp.concatenate([leaf, jnp.broadcast_to(identity, (deep.length - shallow.length, *identity.shape))])

    deepened = params | {"stages": [jax.tree.map(extend, stack)]}
    images = IMAGES.astype(jnp.float64)
    close(deep.apply(deepened, state, images)[0], shallow.apply(params, state, images)[0])


def test_the_head_of_a_pre_activation_net_normalises_and_that_of_a_post_activation_net_does_not():
    for order, part in (("pre", "head"), ("post", "stem")):
        _, params, _ = built(depth=4, width=3, norm="layer", order=order)
        assert ("LayerNorm_0" in params[part]) and len(params["stem"]) + len(params["head"]) == 3


def test_a_post_activation_residual_block_is_relu_of_the_sum():
    network, params, state = built(depth=4, width=3, norm="none", order="post")
    images = IMAGES.astype(jnp.float64)

    def weights(part, name="Dense_0"):
        return part[name]["kernel"], part[name]["bias"]

    (kernel, bias), (head_kernel, head_bias) = weights(params["stem"]), weights(params["head"])
    x = np.maximum(images.reshape(6, -1) @ kernel + bias, 0)
    branch = params["stages"][0]["branch"]
    (k1, b1), (k2, b2) = weights(branch), weights(branch, "Dense_1")
    x = np.maximum(x + np.maximum(x @ k1[0] + b1[0], 0) @ k2[0] + b2[0], 0)
    close(network.apply(params, state, images)[0], x @ head_kernel + head_bias)


def test_evaluation_leaves_the_state_as_it_was_and_training_moves_it():
    network, params, state = built(depth=6, width=5)
    images = IMAGES.astype(jnp.float64)
    close(network.apply(params, state, images)[1], state, 0)
    moved = jax.tree.map(
        lambda new, old: (new != old).all(), network.apply(params, state, images, train=True)[1], state
    )
    assert all(jax.tree.leaves(moved))


def test_arrays_over_the_layers_and_probe_values_span_all_stages():
    one, params, state = built(depth=14, width=5)
    (stack,) = one.stages
    two = dataclasses.replace(one, stages=tuple(dataclasses.replace(stack, length=length) for length in (2, 4)))

    def split(tree):
        (stage,) = tree["stages"]
        return tree | {"stages": [jax.tree.map(operator.itemgetter(here), stage) for here in (slice(2), slice(2, 6))]}

    layers = Layers(
        alive=jnp.array([True, False, True, True, False, True]),
        rate=jnp.linspace(0.5, 1, 6),
        order=jnp.array([1, 0, 5, 3, 2, 4]),
    )
    images, probe = IMAGES.astype(jnp.float64), lambda seen: seen[:3]
    logits, new_state, seen = one.apply(params, state, images, layers, train=True, probe=probe)
    found = two.apply(split(params), split(state), images, layers, train=True, probe=probe)
    close(found, (logits, split(new_state), seen))


@pytest.mark.parametrize("field", ("activation", "initializer", "norm", "connection", "branch", "remat"))
def test_unknown_names_are_refused_with_the_known_ones(field):
    with pytest.raises(UserError, match=r"nonsense.*known"):
        architectures.build(dataclasses.replace(Point(), **{field: "nonsense"}), 10)
