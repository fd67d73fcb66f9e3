"""Connections, norms and initialisers know which block of how many they are in, and one program serves all."""

import dataclasses

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, jitter, layer

from resjax import models, nn
from resjax.layers import Layers

IMAGES = jax.random.normal(jax.random.key(0), (4, 4, 4, 1), jnp.float64)


class ByDepth(linen.Module):
    """x · l/L, and x outside of the blocks."""

    def __call__(self, x, train: bool, place=None):
        return x if place is None else x * (place.block / place.length)


class Weighted(nn.Residual):
    """y = x + F(x)/l."""

    def write(self, x, f, c, place):
        return x + f / place.block


@dataclasses.dataclass(frozen=True)
class Numbered:
    """Every weight of the j-th layer (from 0) of block l is l + j/10, and every other one 0."""

    def at(self, site):
        number = 0 if site.place is None else site.place.block + site.layer / 10
        return lambda key, shape, dtype=jnp.float32: jnp.full(shape, number, dtype)


def made(depth=10, **parts):
    network = models.dense(depth, 5, **parts)
    params, state = jax.jit(network.init)(jax.random.key(1), IMAGES)
    return network, jitter(double(params), 2), state


def by_hand(network, params, before, behind):
    """A network without norms: x + behind(l) · W₂ρ(before(l) · (W₁ρ(before(l) · x) + b₁)) + behind(l) · b₂."""
    x = network.stem.apply({"params": params["stem"]}, IMAGES, train=False)
    for number in range(network.length):
        f = x
        for dense in ("Dense_0", "Dense_1"):
            own = layer(params["stages"][0], number)["branch"][dense]
            f = jnp.maximum(before(number + 1) * f, 0) @ own["kernel"] + own["bias"]
        x = x + behind(number + 1) * f
    return network.head.apply({"params": params["head"]}, x, train=False)


def test_a_norm_with_a_place_is_told_it():
    network, params, state = made(norm=ByDepth())
    close(network.apply(params, state, IMAGES)[0], by_hand(network, params, lambda at: at / 4, lambda at: 1))


def test_a_connection_is_told_its_place():
    network, params, state = made(norm=nn.NoNorm(), connection=Weighted())
    close(network.apply(params, state, IMAGES)[0], by_hand(network, params, lambda at: 1, lambda at: 1 / at))


def test_a_place_stays_where_it_is_when_blocks_move():
    network, params, state = made(norm=ByDepth(), connection=Weighted())
    order = jnp.array([3, 1, 0, 2])
    moved = params | {"stages": [jax.tree.map(lambda leaf: leaf[order], params["stages"][0])]}
    found = network.apply(params, state, IMAGES, Layers(order=order))[0]
    close(found, by_hand(network, moved, lambda at: at / 4, lambda at: 1 / at))


def test_an_initialiser_is_told_its_site():
    params, _ = models.dense(10, 5, initializer=Numbered()).init(jax.random.key(0), IMAGES)
    branch = params["stages"][0][0]["branch"]
    for at, name in enumerate(("Dense_0", "Dense_1")):
        close(branch[name]["kernel"][:, 0, 0], np.arange(1, 5) + at / 10, 1e-6)
    assert not params["stem"]["Dense_0"]["kernel"].any() and not params["head"]["Dense_0"]["kernel"].any()


def test_blocks_are_numbered_through_the_stages_of_images():
    network = models.resnet(20, width=2, initializer=Numbered(), shortcut=nn.Projection())
    params, _ = jax.jit(network.init)(jax.random.key(0), IMAGES)
    numbers = [stack[0]["branch"]["Conv_0"]["kernel"][:, 0, 0, 0, 0] for stack in params["stages"]]
    assert jnp.concatenate(numbers).tolist() == list(range(1, 10))
    shortcuts = [
        stack[0]["shortcut"]["Conv_0"]["kernel"].mean() for stack in params["stages"] if "shortcut" in stack[0]
    ]
    assert shortcuts == [4, 7]


@pytest.mark.parametrize("what", ("init", "apply"))
def test_one_program_serves_every_place(what):
    def lines(depth):
        network = models.dense(depth, 5, norm=ByDepth(), connection=Weighted(), initializer=Numbered())
        params, state = jax.eval_shape(network.init, jax.random.key(0), IMAGES)
        apply = (lambda params: network.apply(params, state, IMAGES)[0], params)
        run, argument = apply if what == "apply" else (lambda key: network.init(key, IMAGES), jax.random.key(0))
        return jax.jit(run).lower(argument).as_text().count("\n")

    assert lines(10) == lines(100)
