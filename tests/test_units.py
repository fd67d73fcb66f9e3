import itertools
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from helpers import close, layer
from test_convolution import reference

from resjax import models, nn
from resjax.layers import Layers
from resjax.nn.place import Place


def made(build, depth=8, **parts):
    """A small network with random float64 parameters, state and images."""
    network = build(depth, width=4, classes=5, **parts)
    images = jax.random.normal(jax.random.key(0), (3, 6, 6, 2), jnp.float64)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)  # nothing to compile
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [
        jax.random.normal(key, leaf.shape, jnp.float64) / 4
        if "kernel" in jax.tree_util.keystr(path)
        else jax.random.uniform(key, leaf.shape, jnp.float64, 0.5, 1.5)
        for key, (path, leaf) in zip(keys, leaves, strict=True)
    ]
    return network, *structure.unflatten(drawn), images


def of_stage(number, network, params, state):
    """One of the stacks, with its parameters and state."""
    return network.stages[number], params["stages"][number], state["stages"][number]


class Written:
    """Residual units written out with JAX's own convolution and the formula of batch norm."""

    def __init__(self, params, state):
        self.params = params
        self.state = state
        self.norms = iter(range(9))

    def conv(self, x, place, stride=1):
        return reference(x, self.params["branch"][f"Conv_{place}"]["kernel"], stride)

    def norm(self, x, part="branch", name=None):
        name = name or f"BatchNorm_{next(self.norms)}"
        params, state = (tree[part] for tree in (self.params, self.state["batch_stats"]))
        params, state = params[name]["norm"], state[name]["norm"]
        return (x - state["mean"]) / jnp.sqrt(state["var"] + 1e-5) * params["scale"] + params["bias"]

    def unit(self, x, order, skip):
        norm, relu = self.norm, jax.nn.relu
        match order:
            case "post":
                return relu(skip * x + norm(self.conv(relu(norm(self.conv(x, 0))), 1)))
            case "norm_after_addition":
                return relu(norm(skip * x + self.conv(relu(norm(self.conv(x, 0))), 1), "after", "BatchNorm_0"))
            case "activation_before_addition":
                return skip * x + relu(norm(self.conv(relu(norm(self.conv(x, 0))), 1)))
            case "activation_only_pre":
                return skip * x + norm(self.conv(relu(norm(self.conv(relu(x), 0))), 1))
            case "pre":
                return skip * x + self.conv(relu(norm(self.conv(relu(norm(x)), 0))), 1)


@pytest.mark.parametrize("order", nn.ORDERS)
@pytest.mark.parametrize("connection", (nn.Residual(), nn.Plain()))
def test_the_units_of_figure_4_of_he_2016(order, connection):
    network, params, state, _ = made(models.resnet, order=nn.ORDERS[order], connection=connection)
    unit, params, state = of_stage(0, network, params, state)
    assert (unit.length, unit.blocks[0].branch.stride) == (1, 1)
    x = jax.random.normal(jax.random.key(4), (3, 6, 6, 4), jnp.float64)
    expected = Written(layer(params, 0), layer(state, 0)).unit(x, order, float(connection.skip))
    close(unit.apply(params, state, x)[0], expected, 1e-10)


@pytest.mark.parametrize("size", (6, 7))
def test_where_sizes_differ_a_pre_activation_unit_shares_its_activation(size):
    network, params, state, _ = made(models.preact, shortcut=nn.Projection())
    unit, params, state = of_stage(1, network, params, state)
    x = jax.random.normal(jax.random.key(4), (3, size, size, 4), jnp.float64)
    written = Written(layer(params, 0), layer(state, 0))
    shared = jax.nn.relu(written.norm(x, "before", "BatchNorm_0"))
    branch = written.conv(jax.nn.relu(written.norm(written.conv(shared, 0, 2))), 1)
    kernel = layer(params, 0)["shortcut"]["Conv_0"]["kernel"][0, 0]  # C C′ of the 1×1 convolution
    close(unit.apply(params, state, x)[0], shared[:, ::2, ::2] @ kernel + branch, 1e-10)


def test_option_a_is_every_second_pixel_and_zeros():
    network, params, state, _ = made(models.resnet)
    unit, params, state = of_stage(1, network, params, state)
    x = jax.random.normal(jax.random.key(4), (3, 7, 7, 4), jnp.float64)
    y, _, f = unit.apply(params, state, x, probe=lambda seen: seen.f)
    padded = jnp.concatenate([x[:, ::2, ::2], jnp.zeros((3, 4, 4, 4))], -1)
    close(y, jax.nn.relu(padded + f[0]), 1e-12)


@pytest.mark.parametrize("shortcut", (nn.Pad(), nn.Projection()))
@pytest.mark.parametrize("build", (models.resnet, models.preact))
def test_what_is_left_of_a_dropped_block_that_changes_the_shape_is_its_shortcut(build, shortcut):
    """And what stands behind the addition still happens to it: ReLU(b·F + id), Huang et al. 2016, eq. 2."""
    network, params, state, _ = made(build, shortcut=shortcut)
    unit, params, state = of_stage(1, network, params, state)
    x = jax.random.normal(jax.random.key(4), (3, 6, 6, 4), jnp.float64)
    written = Written(layer(params, 0), layer(state, 0))
    shared = jax.nn.relu(written.norm(x, "before", "BatchNorm_0")) if build is models.preact else x
    if shortcut == nn.Pad():
        expected = jnp.concatenate([shared[:, ::2, ::2], jnp.zeros((3, 3, 3, 4))], -1)
    else:
        expected = shared[:, ::2, ::2] @ written.params["shortcut"]["Conv_0"]["kernel"][0, 0]
        if build is models.resnet:  # the original unit normalises its projection, as it does F
            expected = written.norm(expected, "shortcut", "BatchNorm_0")
    if build is models.resnet:
        expected = jax.nn.relu(expected)
    close(unit.apply(params, state, x, Layers(keep=jnp.array([False])))[0], expected, 1e-10)


@pytest.mark.parametrize(
    ("train", "remat"),
    (
        (True, jax.checkpoint_policies.nothing_saveable),
        pytest.param(True, None, marks=pytest.mark.slow),
        pytest.param(False, jax.checkpoint_policies.dots_saveable, marks=pytest.mark.slow),
    ),
)
def test_stages_of_convolutions_are_loops(train, remat):
    network, params, state, images = made(models.resnet, 11, branch=nn.Basic(layers=1), remat=remat)
    assert [stack.length for stack in network.stages] == [3, 1, 2, 1, 2]

    def scanned(params):
        logits, new_state, _ = network.apply(params, state, images, train=train)
        return (logits**2).sum(), new_state["stages"]

    def looped(params):
        stem = {"params": params["stem"], **state["stem"]}
        states = []
        numbers = itertools.count(1)
        x, _ = network.stem.apply(stem, images, train=train, mutable=["batch_stats"])
        for stack, own, before in zip(network.stages, params["stages"], state["stages"], strict=True):
            after = []
            for place in range(stack.length):
                variables = {"params": layer(own, place), **layer(before, place)}
                at = Place(next(numbers), network.length)
                (x, _), new = stack.blocks[0].apply(variables, x, at, train=train, mutable=["batch_stats"])
                after.append(new)
            states.append((jax.tree.map(lambda *leaves: jnp.stack(leaves), *after),))
        head = {"params": params["head"], **state["head"]}
        return (network.head.apply(head, x, train=train, mutable=["batch_stats"])[0] ** 2).sum(), states

    found, expected = (jax.jit(jax.value_and_grad(run, has_aux=True))(params) for run in (scanned, looped))
    close(found, expected, 1e-8)


@pytest.mark.slow
def test_bfloat16_computes_in_it_and_keeps_weights_statistics_and_logits_in_float32():
    images = jax.random.normal(jax.random.key(0), (32, 8, 8, 3), jnp.float32)
    low, exact = (models.resnet(8, width=8, dtype=dtype) for dtype in (jnp.bfloat16, None))
    params, state = jax.jit(low.init)(jax.random.key(1), images)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, state))} == {jnp.dtype("float32")}

    @partial(jax.jit, static_argnums=1)
    def gradient(params, network):
        return jax.value_and_grad(loss, has_aux=True)(params, network)

    def loss(params, network):
        logits, new_state, seen = network.apply(params, state, images, train=True, probe=lambda seen: seen.y.mean())
        return (logits**2).mean(), (logits, new_state, seen)

    (_, (logits, new_state, seen)), slopes = gradient(params, low)
    (_, (expected, _, _)), exact_slopes = gradient(params, exact)
    assert seen.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((logits, new_state, slopes))} == {jnp.dtype("float32")}
    kernel, exact_kernel = (tree["stem"]["Conv_0"]["kernel"] for tree in (slopes, exact_slopes))
    for one, other, most in ((logits, expected, 0.1), (kernel, exact_kernel, 0.2)):
        assert 0 < jnp.linalg.norm(one - other) < most * jnp.linalg.norm(other)
