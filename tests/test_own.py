"""A block of the user's own."""

import jax
import jax.numpy as jnp
import pytest
from helpers import close, layer
from own_blocks import Mine, Wider

from resjax import models, nn
from resjax.lab import building
from resjax.lab.trial import Variant
from resjax.layers import Layers
from resjax.system.errors import UserError

IMAGES = jax.random.normal(jax.random.key(0), (4, 4, 4, 2), jnp.float64)


def made():
    network = models.dense(5, 6, block=Mine(), norm=nn.NoNorm(), classes=3)
    return network, *jax.jit(network.init)(jax.random.key(1), IMAGES)


def mine(params, block, x):
    """The block itself, with the parameters of one of the network's."""
    own = layer(params["stages"][0], block)["branch"]["block"]
    return Mine().apply({"params": own}, x, train=True)


def ends(network, params):
    """The stream from the stem, and a function from the last stream to the logits."""
    x = network.stem.apply({"params": params["stem"]}, IMAGES, train=False)
    return x, lambda x: network.head.apply({"params": params["head"]}, x, train=False)


def test_a_residual_network_of_it_runs_the_block_itself():
    network, params, state = made()
    x, head = ends(network, params)
    for block in range(3):
        x = mine(params, block, x)
    close(network.apply(params, state, IMAGES)[0], head(x))


def test_its_branch_is_what_it_adds_to_the_stream():
    network, params, state = made()
    _, _, (streams, added) = network.apply(params, state, IMAGES, probe=lambda seen: (seen.x, seen.f))
    for block in range(3):
        close(added[block], mine(params, block, streams[block]) - streams[block])


def test_left_out_it_is_the_identity():
    network, params, state = made()
    x, head = ends(network, params)
    close(network.apply(params, state, IMAGES, Layers(keep=jnp.zeros(3, bool)))[0], head(x))


def test_it_takes_the_place_of_the_blocks_that_keep_the_shape():
    network = models.resnet(8, block=Mine(layers=2, features=4), width=4)
    assert [type(block.branch).__name__ for block in network.blocks] == ["BranchOf", "Basic", "Basic"]


def test_one_that_changes_the_shape_is_refused():
    with pytest.raises(ValueError, match="Wider makes 7 of 6, not its own shape"):
        models.dense(5, 6, block=Wider()).init(jax.random.key(0), IMAGES)


@pytest.mark.parametrize(
    ("block", "says"),
    (
        ("own_blocks:Wider", "Wider makes 7 of 6, not its own shape"),
        ("collections:OrderedDict", "must give a flax.linen.Module .*, not OrderedDict"),
        ("nowhere.at_all:Mine", "cannot import nowhere.at_all"),
        ("own_blocks:Yours", "has no 'Yours'"),
        ("mine", "unknown block 'mine': known are package.module:Name"),
    ),
)
def test_what_cannot_be_a_block_is_refused(block, says):
    with pytest.raises(UserError, match=says):
        trial = Variant(block=block, width=6, depth=5)
        building.check(trial, building.network(trial, 3), (4, 4, 2), "--inputs")
