"""What `shortcuts` measures: the Jacobian of all blocks of a network, and the gradient's way back through it.

The norms keep the statistics of one batch, so that every image goes through a map of its own. In float64.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import optax

from resjax import normalizers, steps, train
from resjax.compiling import quickly
from resjax.config import Point
from resjax.networks import Network
from resjax.probes import blocks, jacobian
from resjax.squeezing import squeeze
from resjax.stack import Block, Layers


def measure(point, folder: pathlib.Path) -> dict[str, float]:
    """`read` of one network at its start or, for the stage `trained`, of the one in `folder`."""
    network, optimizer, dataset = train.plan(point)
    images, labels = next(dataset.train.all(point.batch_size))
    key = steps.key_of(point.seed)
    if point.stage == "trained":
        _, carry, _ = train.trained(Point.of(point), folder)
    else:
        carry = steps.initialize(network, optimizer, key, images[:1])
    network, _, _ = train.plan(dataclasses.replace(point, norm=normalizers.of_last_batch(point.norm)))
    noise = jax.random.fold_in(key, steps.NOISE)
    with jax.enable_x64(True):
        weights = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), carry[:2])
        return read(network, *weights, images.astype(jnp.float64), labels, noise, min(point.jacobians, len(images)))


def read(network: Network, params, state, images, labels, noise, count: int) -> dict[str, float]:
    """The Jacobian of all blocks, from the first one's input to the last one's output, and the gradient through it.

    Args:
      network: its norms are `normalizers.of_last_batch`.
      params, state: its parameters and state.
      images, labels: the batch (B H W C, B) whose statistics the norms keep.
      noise: a key, for networks that draw while the statistics are taken.
      count: the number of images, the first ones, at which the Jacobian is taken.

    Returns:
      condition, sigma_max, sigma_min: by the singular values of each image's Jacobian, medians over the images;
      gradient_norm: the norm of the gradient of the loss towards the blocks' input over that towards their output,
      root mean squares over the images.
    """
    state = quickly(settle, 0)(network, params, state, images, noise)
    y, found = jacobians(network, params, state, images[:count])
    outer = quickly(slopes, 0)(network, params, state, y, labels[:count]).reshape(count, -1)  # B D
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
    x = network.stem.apply({"params": params["stem"], **state["stem"]}, images, train=False)
    product = jnp.eye(x[0].size, dtype=x.dtype)
    for stack, variables in blocks.by_stack(network, params, state):
        for place in range(stack.length):
            own = jax.tree.map(lambda leaf, place=place: leaf[place], variables)
            x, factor = step(stack.block, stack.squeeze if place == 0 else 1, own, x)
            product = factor @ product
    return x, product


@functools.partial(jax.jit, static_argnums=(0, 1))
def step(block: Block, factor: int, variables: blocks.Variables, x):
    """The stream behind one block, and every example's Jacobian there: B … D, B D′ D."""

    def run(x):
        return blocks.apply(block, variables, squeeze(x, factor))

    return run(x), jax.vmap(lambda one: jacobian.matrix(lambda one: run(one[None])[0], one))(x)


def slopes(network: Network, params, state, y, labels):
    """The gradient of each example's loss towards the stream behind the last block, B … D."""

    def loss(y):
        logits = network.head.apply({"params": params["head"], **state["head"]}, y, train=False)  # B K
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()

    return jax.grad(loss)(y)
