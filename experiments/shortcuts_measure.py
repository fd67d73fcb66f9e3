"""What `shortcuts` measures: the Jacobian of all blocks of a network, and the gradient's way back through it.

The norms keep the statistics of one batch, so that every image goes through a map of its own. In float64.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import optax

from resjax.lab import registry
from resjax.lab.config import Point
from resjax.lab.plan import plan, start
from resjax.lab.trial import trained
from resjax.layers import BlockAt, Layers
from resjax.network import Network, SpaceToDepth
from resjax.nn import Block
from resjax.nn.norms import of_last_batch
from resjax.nn.place import Place
from resjax.probes import singular_values
from resjax.random_streams import stream
from resjax.stack import Stack
from resjax.training.compilation import jit_unoptimized
from resjax.training.step import keys_of


def measure(point, folder: pathlib.Path) -> dict[str, float]:
    """`read` of one network at its start or, for the stage `trained`, of the one in `folder`."""
    planned = plan(point)
    network, _, dataset = planned
    images, labels = next(dataset.train.all(point.batch_size))
    key = keys_of(point.seed)
    if point.stage == "trained":
        _, found, _ = trained(Point.of(point), folder)
    else:
        found = start(planned, point)
    twin = registry.network(point, dataset.classes, norm=of_last_batch(registry.norm(point.norm)))
    network = dataclasses.replace(twin, stochastic_depth=network.stochastic_depth)
    noise = stream(key, "noise")
    with jax.enable_x64(True):
        weights = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), found[:2])
        return read(network, *weights, images.astype(jnp.float64), labels, noise, min(point.jacobians, len(images)))


def read(network: Network, params, state, images, labels, noise, count: int) -> dict[str, float]:
    """The Jacobian of all blocks, from the first one's input to the last one's output, and the gradient through it.

    Args:
      network: its norms are `norms.of_last_batch`.
      params, state: its parameters and state.
      images, labels: the batch (B H W C, B) whose statistics the norms keep.
      noise: a key, for networks that draw while the statistics are taken.
      count: the number of images, the first ones, at which the Jacobian is taken.

    Returns:
      condition, sigma_max, sigma_min: by the singular values of each image's Jacobian, medians over the images;
      gradient_norm: the norm of the gradient of the loss towards the blocks' input over that towards their output,
      root mean squares over the images.
    """
    state = jit_unoptimized(settle, 0)(network, params, state, images, noise)
    y, found = jacobians(network, params, state, images[:count])
    outer = jit_unoptimized(slopes, 0)(network, params, state, y, labels[:count]).reshape(count, -1)  # B D
    inner = jnp.einsum("boi,bo->bi", found, outer)
    sigma = jnp.linalg.svd(found, compute_uv=False)  # B D, largest first; nan where a stream overflows
    values = {
        "gradient_norm": jnp.linalg.norm(inner) / jnp.linalg.norm(outer),
        "condition": jnp.median(sigma[:, 0] / sigma[:, -1]),
        "sigma_max": jnp.median(sigma[:, 0]),
        "sigma_min": jnp.median(sigma[:, -1]),
    }
    return {name: float(value) for name, value in values.items()}


def settle(network: Network, params, state, images, noise):
    """The state with the statistics of this batch."""
    return network.apply(params, state, images, Layers(key=noise), train=True)[1]


def jacobians(network: Network, params, state, images):
    """The stream behind the last block (B … D) and its Jacobian towards the stream before the first one: B D′ D.

    A product over the blocks, of which only the kinds are compiled.
    """
    x = network.run_stem(params, state, images)
    layers = Layers(branch_scale=jnp.ones(network.length))
    if network.stochastic_depth:
        layers = network.stochastic_depth.evaluation(layers)
    product = jnp.eye(x[0].size, dtype=x.dtype)
    weights = zip(params["stages"], state["stages"], strict=True)
    before = None
    number = 0
    for stage in network.stages:
        if not isinstance(stage, Stack):
            before = stage
            continue
        params_of, state_of = next(weights)
        kinds = len(stage.blocks)
        for at in range(stage.length):
            own = _at(params_of[at % kinds], at // kinds)
            own_state = _at(state_of[at % kinds], at // kinds)
            variables = {"params": own, **own_state}
            scale = layers.branch_scale[number]
            number += 1
            x, factor = step(stage.blocks[at % kinds], before, network.length, variables, number, scale, x)
            product = factor @ product
            before = None
    return x, product


def _at(tree, place: int):
    return jax.tree.map(lambda leaf: leaf[place], tree)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def step(block: Block, before: SpaceToDepth | None, total: int, variables, number, scale, x):
    """The stream behind one block, and every example's Jacobian there: B … D, B D′ D."""
    at = BlockAt(block, variables, Place(number, total), scale)

    def run(x):
        return at(before(x) if before else x)

    return run(x), jax.vmap(lambda one: singular_values.matrix(lambda one: run(one[None])[0], one))(x)


def slopes(network: Network, params, state, y, labels):
    """The gradient of each example's loss towards the stream behind the last block, B … D."""

    def loss(y):
        logits = network.head.apply({"params": params["head"], **state["head"]}, y, train=False)  # B K
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()

    return jax.grad(loss)(y)
