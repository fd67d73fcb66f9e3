import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double

from resjax import models, nn
from resjax.cost import forward_flops, parameter_count
from resjax.layers import Layers
from resjax.network import Network, SpaceToDepth
from resjax.stack import Stack

IMAGES = jax.random.normal(jax.random.key(0), (6, 4, 4, 1))  # B H W C


def made(depth, width=5, **parts):
    network = models.dense(depth, width, **parts)
    params, state = jax.jit(network.init)(jax.random.key(1), IMAGES)
    return network, double(params), double(state)


def kernels(params):
    """(matrices, projections): how many weight matrices there are, the layer axis counted out."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    found = [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves if "kernel" in jax.tree_util.keystr(path)]
    count = {name: leaf.shape[0] if "stages" in name else 1 for name, leaf in found}
    return sum(count.values()), sum(n for name, n in count.items() if "shortcut" in name)


@pytest.mark.parametrize("layers", (1, 2, 3))
@pytest.mark.parametrize("connection", (nn.Plain(), nn.Projected()), ids=("plain", "projected"))
def test_depth_counts_the_weighted_layers_but_not_the_projections(layers, connection):
    network, params, _ = made(20, 3, branch=nn.Dense(layers=layers), connection=connection)
    matrices, projections = kernels(params)
    assert network.depth == 20 == matrices - projections
    assert projections == (network.length if connection.skip else 0)


@pytest.mark.parametrize(("norm", "a_unit"), ((nn.NoNorm(), 0), (nn.BatchNorm(), 2)), ids=("none", "batch"))
def test_parameters_are_as_many_as_the_formula_says(norm, a_unit):
    _, params, _ = made(20, 7, norm=norm)
    layers = (16 * 7 + 7) + 18 * (7 * 7 + 7) + (7 * 10 + 10)
    assert parameter_count(params) == layers + a_unit * 7 * (18 + 1)  # one norm a branch layer, one in the head


@pytest.mark.parametrize(
    ("depth", "layers", "nearest"), ((5, 2, "4 and 6"), (1, 2, "4"), (3, 2, "4"), (9, 3, "8 and 11"))
)
def test_an_impossible_depth_is_refused_with_the_nearest(depth, layers, nearest):
    with pytest.raises(ValueError, match=f"depth {depth}: .* nearest: {nearest}$"):
        models.dense(depth, branch=nn.Dense(layers=layers))


@pytest.mark.parametrize("branch", (nn.Dense(), nn.Dense(layers=3)), ids=("two", "three"))
def test_possible_depths_are_those_that_build(branch):
    def possible(depth):
        try:
            return bool(models.dense(depth, branch=branch))
        except ValueError:
            return False

    assert list(models.DENSE.depths(30, branch=branch)) == [depth for depth in range(1, 31) if possible(depth)]


def test_a_plain_net_deepened_by_identity_layers_computes_the_same():
    plain = {"connection": nn.Plain(), "norm": nn.NoNorm(), "order": nn.POST}
    shallow, params, state = made(20, **plain)
    deep = models.dense(56, 5, **plain)
    (stack,) = params["stages"]

    def extend(leaf):  # the stream is ≥ 0 after a ReLU, so weights I and biases 0 pass it on
        identity = np.eye(5) if leaf.ndim == 3 else np.zeros(5)
        return jnp.concatenate([leaf, jnp.broadcast_to(identity, (deep.length - shallow.length, *identity.shape))])

    deepened = params | {"stages": [jax.tree.map(extend, stack)]}
    images = IMAGES.astype(jnp.float64)
    close(deep.apply(deepened, state, images)[0], shallow.apply(params, state, images)[0])


def test_the_head_of_a_pre_activation_net_normalises_and_that_of_a_post_activation_net_does_not():
    for order, part in ((nn.PRE, "head"), (nn.POST, "stem")):
        _, params, _ = made(4, 3, norm=nn.LayerNorm(), order=order)
        assert ("LayerNorm_0" in params[part]) and len(params["stem"]) + len(params["head"]) == 3


def test_a_post_activation_residual_block_is_relu_of_the_sum():
    network, params, state = made(4, 3, norm=nn.NoNorm(), order=nn.POST)
    images = IMAGES.astype(jnp.float64)

    def weights(part, name="Dense_0"):
        return part[name]["kernel"], part[name]["bias"]

    kernel, bias = weights(params["stem"])
    x = np.maximum(images.reshape(6, -1) @ kernel + bias, 0)
    branch = params["stages"][0][0]["branch"]
    kernel, bias = weights(branch)
    inside = np.maximum(x @ kernel[0] + bias[0], 0)
    kernel, bias = weights(branch, "Dense_1")
    x = np.maximum(x + inside @ kernel[0] + bias[0], 0)
    kernel, bias = weights(params["head"])
    close(network.apply(params, state, images)[0], x @ kernel + bias)


def test_evaluation_leaves_the_state_as_it_was_and_training_moves_it():
    network, params, state = made(6)
    images = IMAGES.astype(jnp.float64)
    close(network.apply(params, state, images)[1], state, 0)
    moved = jax.tree.map(
        lambda new, old: (new != old).all(), network.apply(params, state, images, train=True)[1], state
    )
    assert all(jax.tree.leaves(moved))


def test_arrays_over_the_layers_and_probe_values_span_all_stages():
    one, params, state = made(14, connection=nn.Scaled(power=0.5))
    (stack,) = one.stages
    two = dataclasses.replace(one, stages=[dataclasses.replace(stack, length=length) for length in (2, 4)])

    def split(tree):
        (stage,) = tree["stages"]
        pieces = [jax.tree.map(lambda leaf, here=here: leaf[here], stage) for here in (slice(2), slice(2, 6))]
        return tree | {"stages": pieces}

    layers = Layers(
        keep=jnp.array([True, False, True, True, False, True]),
        branch_scale=jnp.linspace(0.5, 1, 6),
        order=jnp.array([1, 0, 5, 3, 2, 4]),
    )
    images = IMAGES.astype(jnp.float64)

    def probe(seen):
        return *seen[:3], seen.at.place.block

    logits, new_state, seen = one.apply(params, state, images, layers, train=True, probe=probe)
    found = two.apply(split(params), split(state), images, layers, train=True, probe=probe)
    close(found, (logits, split(new_state), seen))
    assert seen[-1].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_stage_without_blocks_makes_channels_of_pixels_and_back():
    network = models.iresnet(28, norm=nn.NoNorm(), width=4)
    assert [type(stage) for stage in network.stages] == [Stack, SpaceToDepth, Stack, SpaceToDepth, Stack]
    assert network.lengths == (3, 3, 3) and network.stride == 4
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    params, state = network.init(jax.random.key(1), images)
    assert len(params["stages"]) == len(state["stages"]) == len(network.stacks) == 3
    layers = Layers(keep=jnp.zeros(9, bool))
    x = network.stem.apply({}, images, train=False)
    y, _, _ = network.run_stages(params["stages"], state["stages"], x, layers)
    assert y.shape == (2, 2, 2, 64)
    squeeze = network.stages[1]
    close(squeeze.inverse(squeeze.inverse(y)), x, 0)
    square = x[:, :2, :2]  # B 2 2 C, of which the first pixel of the smaller image is made
    close(squeeze(x)[:, 0, 0], square.reshape(2, -1), 0)


@pytest.mark.parametrize("model", (models.dense, models.resnet))
def test_run_stages_is_the_network_without_stem_and_head(model):
    network = model(8, width=4, classes=3)
    params, state = network.init(jax.random.key(1), IMAGES)
    x = network.stem.apply({"params": params["stem"], **state["stem"]}, IMAGES, train=False)
    y, _, _ = network.run_stages(params["stages"], state["stages"], x)
    logits = network.head.apply({"params": params["head"], **state["head"]}, y, train=False)
    close(network.apply(params, state, IMAGES)[0], logits, 1e-6)


def test_a_network_without_blocks_is_stem_and_head():
    network = Network(nn.DenseStem(width=3), (), nn.Head(classes=2))
    params, state = network.init(jax.random.key(0), IMAGES)
    logits, _, seen = network.apply(params, state, IMAGES)
    x = network.stem.apply({"params": params["stem"]}, IMAGES, train=False)
    close(logits, network.head.apply({"params": params["head"]}, x, train=False), 0)
    assert seen is None


def test_operations_of_a_dense_network_are_two_a_weight():
    network = models.dense(20, 64, norm=nn.NoNorm())
    one = forward_flops(network, jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32))
    weights = 64 * 64 + 18 * 64 * 64 + 64 * 10
    assert 2 * weights < one < 2.1 * weights


def test_operations_are_counted_on_devices_for_which_xla_does_not_count(monkeypatch):
    network = models.dense(6, 8)
    x = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    here = forward_flops(network, x)
    count = jax.stages.Lowered.cost_analysis

    def of_a_gpu(lowered):  # where JAX says None of all that is not lowered for the CPU
        chosen = jax.config.jax_default_device
        return count(lowered) if chosen and chosen.platform == "cpu" else None

    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", of_a_gpu)
    assert forward_flops(network, x) == here > 0


@pytest.mark.parametrize("power", (0.5, 1))
def test_flops_of_scaled_branches_are_a_product_a_unit_and_block_more(power):
    x = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    scaled, unscaled = (
        forward_flops(models.dense(8, width=5, connection=own), x) for own in (nn.Scaled(power=power), nn.Residual())
    )
    assert 3 * 5 <= scaled - unscaled <= 3 * (5 + 4)  # and what the scale itself takes
