"""A block of the user's own."""

import jax
import jax.numpy as jnp
import pytest
from helpers import close, layer
from own_blocks import Mine

from resjax import architectures
from resjax.config import Untrained
from resjax.errors import UserError
from resjax.probes import gradients
from resjax.stack import Layers

IMAGES = jax.random.normal(jax.random.key(0), (4, 4, 4, 2), jnp.float64)


def made(block="own_blocks:Mine", **choices):
    network = architectures.build(Untrained(**{"block": block, "width": 6, "depth": 5, "norm": "none"} | choices), 3)
    return network, *jax.jit(network.init)(jax.random.key(1), IMAGES)


def test_a_residual_network_of_it_runs_the_block_itself():
    network, params, state = made(remat="")
    x = network.stem.apply({"params": params["stem"]}, IMAGES, train=False)
    for place in range(3):
        x = Mine().apply({"params": layer(params["stages"][0]["branch"]["block"], place)}, x, train=True)
    close(network.apply(params, state, IMAGES)[0], network.head.apply({"params": params["head"]}, x, train=False))


def test_its_branch_is_what_it_adds_to_the_stream():
    network, params, state = made()
    dead = network.apply(params, state, IMAGES, Layers(alive=jnp.zeros(3, bool)))[0]
    x = network.stem.apply({"params": params["stem"]}, IMAGES, train=False)
    close(dead, network.head.apply({"params": params["head"]}, x, train=False))
    found = gradients.read(network, params, state, IMAGES, gradients.readout(jax.random.key(2)))
    assert 0 < found["direct_share"].min() < found["direct_share"].max() < 1


def test_it_takes_the_place_of_the_blocks_that_keep_the_shape():
    point = Untrained(block="own_blocks:Mine(layers=2,features=4)", network="preact", depth=8, width=4)
    network = architectures.build(point, 3)
    assert [type(stack.block.branch).__name__ for stack in network.stages] == ["Own", "Basic", "Basic"]


@pytest.mark.parametrize(
    ("block", "says"),
    (
        ("own_blocks:Wider", "Wider makes 7 of 6, not its own shape"),
        ("collections:OrderedDict", "is no flax.linen.Module but OrderedDict"),
        ("nowhere.at_all:Mine", "cannot import nowhere.at_all"),
        ("own_blocks:Yours", "has no 'Yours'"),
        ("mine", "unknown block 'mine': known are package.module:Name"),
    ),
)
def test_what_cannot_be_a_block_is_refused(block, says):
    with pytest.raises(UserError, match=says):
        point = Untrained(block=block, width=6, depth=5)
        architectures.check(point, architectures.build(point, 3), (4, 4, 2), "--inputs")
