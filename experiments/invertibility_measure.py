"""What `invertibility` computes of one network: how its blocks stretch the stream, and whether they can be undone."""

import dataclasses
import math
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from resjax import architectures, normalizers, steps, theory, train
from resjax.compiling import quickly
from resjax.config import Point
from resjax.ends import DenseStem
from resjax.networks import Network
from resjax.probes import blocks, inverse, jacobian, lipschitz, signals, whiteness

LANCZOS, INVERSION = range(5, 7)  # what a run's key is folded with, beside those of `resjax.steps`
EXACT = 2048  # entries of the stream up to which the whole Jacobian is computed
STEPS = 100  # of Lanczos beyond that
NEAR = 0.25  # the largest share of the variance that a block may add for the formula of κ


def measure(point, folder: pathlib.Path) -> dict[str, float]:
    """The columns that one network decides, at its start or as trained in `folder`, at the first training images.

    Of the Jacobian of all blocks: geometric means over the images, of the log-determinant the mean. Of the blocks:
    the largest constant, and the largest error and number of iterations over blocks and images.
    """
    network, optimizer, dataset = train.plan(point)
    images, _ = next(dataset.train.all(max(point.images, point.batch_size)))
    if point.stage == "trained":
        _, carry, _ = train.trained(Point.of(point), folder)
    else:
        carry = steps.initialize(network, optimizer, steps.key_of(point.seed), images[:1])
    key = jax.random.fold_in(steps.key_of(point.seed), LANCZOS)
    with jax.enable_x64(True):
        images, state = images.astype(jnp.float64), carry.state
        if point.stage == "start":
            state = settled(point, network, carry.params, state, images)
        found = jax.device_get(compiled(jacobians, network)(network, carry.params, state, images[: point.images], key))
        constants, back = undone(network, carry.params, state, images[: point.images], key)
    return summary(point, network, found | constants, back)


def undone(network: Network, params, state, images, key) -> tuple[dict, dict]:
    """The constants of the blocks, and what their inverse finds; with a second attempt where the first one fails."""
    found = jax.device_get(compiled(first_attempt, network)(network, params, state, images, key))
    back = found.pop("inverse")
    if not back["inverted"].all():  # a program of its own, which few networks need
        ends = found["behind"], found["before"]
        back = jax.device_get(compiled(second_attempt, network)(network, params, state, *ends))
    return found, back


def compiled(function: Callable, network: Network) -> Callable:
    """The function, compiled: for images with XLA's optimisation, without which its float64 convolutions crawl."""
    return quickly(function, 0) if isinstance(network.stem, DenseStem) else jax.jit(function, static_argnums=0)


def settled(point: Point, network: Network, params, state, images):
    """The state whose running statistics are those of these images, for norms that have some."""
    norm = normalizers.of_last_batch(point.norm)
    twin = architectures.build(dataclasses.replace(point, norm=norm), network.head.classes)
    return quickly(whiteness.settled, 0)(twin, params, state, images)


def stream(network: Network, params, state, images):
    """What the first block gets of the images, … B D."""
    return network.stem.apply({"params": params["stem"], **state["stem"]}, images, train=False)


def jacobians(network: Network, params, state, images, key):
    """By image, the singular values of the Jacobian of all blocks, largest first, and its log-determinant."""

    def whole(x):
        return blocks.each(network, params, state, x[None], lambda *block: ())[0][0]

    x = stream(network, params, state, images)
    if x[0].size > EXACT:
        values = jax.lax.map(lambda x: jacobian.spectrum(whole, x, key, STEPS)[0][0], x)
        return {"values": values, "logdet": jnp.full(len(x), jnp.nan), "square": signals.mean_square(x)}
    matrices = jax.lax.map(lambda x: jacobian.matrix(whole, x), x)
    return {
        "values": jnp.linalg.svd(matrices, compute_uv=False),  # images, D
        "logdet": jnp.linalg.slogdet(matrices)[1],
        "square": signals.mean_square(x),
    }


def first_attempt(network: Network, params, state, images, key):
    """The streams before and behind the blocks, the blocks' constants, and the inverse by fixed points."""
    x = stream(network, params, state, images)
    y, _ = blocks.each(network, params, state, x, lambda *block: ())
    few = x[:4]  # gains are taken at
    return {
        "before": x,
        "behind": y,
        "upper": lipschitz.upper(network, params, state, few[:1], key),
        "lower": lipschitz.lower(network, params, state, few, key),
        "inverse": undo(network, params, state, y, x, newton_steps=0),
    }


def second_attempt(network: Network, params, state, y, x):
    """The inverse once more, with Newton's method where the fixed point is not reached."""
    return undo(network, params, state, y, x, newton_steps=20)


def undo(network: Network, params, state, y, x, newton_steps: int):
    """The inverse at y (images … D), and by image how far it is from the x that y was made of."""
    found = inverse.invert(network, params, state, y, newton_steps=newton_steps)
    error, size = (jnp.linalg.norm(tree.reshape(len(x), -1), axis=-1) for tree in (found.x - x, x))
    return found._asdict() | {"error": error / size, "size": size}


def error_bound(found: dict, back: dict) -> float:
    """What theory bounds the largest error of the inverse by; nan where it has no bound."""
    if (found["upper"] >= 1).any():
        return math.nan
    return (inverse.total_bound(found["upper"], back["iterations"], back["first"]) / back["size"]).max()


def summary(point, network: Network, found: dict, back: dict) -> dict[str, float]:
    """The row of the table."""
    values, upper, size = found["values"], found["upper"], found["before"][0].size
    precise = values > np.finfo(np.float64).eps * size * values[:, :1]  # as numpy.linalg.matrix_rank has it
    with np.errstate(divide="ignore", invalid="ignore"):
        largest, smallest = (np.exp(np.log(column).mean()) for column in (values[:, 0], np.nanmin(values, axis=1)))
        row = {
            "branch_scale": scale(network),
            "lipschitz_lower": found["lower"].max(),
            "lipschitz_upper": upper.max(),
            "invertible_share": (upper < 1).mean(),
            "sigma_min": smallest,
            "sigma_max": largest,
            "rank_share": precise.mean(),
            "condition": largest / smallest,
            "condition_theory": condition(point, network, float(found["square"])),
            "inverse_error": back["error"].max(),
            "inverse_bound": error_bound(found, back),
            "iterations": back["iterations"].max(),
            "newton_share": back["newton"].mean(),
            "not_inverted_share": 1 - back["inverted"].mean(),
            "logdet": found["logdet"].mean(),
            "logdet_lower": size * np.log1p(-upper).sum() if (upper < 1).all() else -math.inf,
            "logdet_upper": size * np.log1p(upper).sum(),
        }
    return {name: float(value) for name, value in row.items()}


def scale(network: Network) -> float:
    """What F(x) is multiplied by at the start; nan where it is no constant."""
    factors = theory.paths(network.stages[0].block.connection)
    return math.nan if factors is None else factors[1] ** 0.5


def condition(point, network: Network, square: float) -> float:
    """κ of wide blocks near the identity, where there is a formula: at the start, dense, ReLU, He's weights, 1/√L."""
    factors = theory.paths(network.stages[0].block.connection)
    chosen = point.network, point.block, point.activation, point.order, point.initializer, point.spectral_norm
    usual = (
        chosen == ("dense", "", "relu", "pre", "he_normal", 0.0)
        and not point.projections
        and point.norm in ("none", "batch", "layer", "rms")
    )
    if point.stage != "start" or not usual or factors is None or factors[0] != 1 or factors[1] > NEAR:
        return math.nan
    return theory.condition(factors[1], point.norm, network.length, network.stages[0].block.branch.layers, square)
