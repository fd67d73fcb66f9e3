"""What `invertibility` computes of one network: how its blocks stretch the stream, and whether they can be undone."""

import math
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from resjax import theory
from resjax.lab import plan as planning
from resjax.lab import registry, trial
from resjax.lab.config import Point
from resjax.network import Network
from resjax.nn.norms import of_last_batch
from resjax.nn.stems import DenseStem
from resjax.probes import blocks, forward, inversion, inversion_bounds, lipschitz_bounds, singular_values, whiteness
from resjax.random_streams import stream
from resjax.training import step
from resjax.training.compilation import jit_unoptimized

EXACT = 2048  # entries of the stream up to which the whole Jacobian is computed
STEPS = 100  # of Lanczos beyond that
NEAR = 0.25  # the largest share of the variance that a block may add for the formula of κ


def measure(point, folder: pathlib.Path) -> dict[str, float]:
    """The columns that one network decides, at its start or as trained in `folder`, at the first training images.

    Of the Jacobian of all blocks: geometric means over the images, of the log-determinant the mean. Of the blocks:
    the largest constant, and the largest error and number of iterations over blocks and images.
    """
    network, optimizer, dataset = planning.plan(point)
    images, _ = next(dataset.train.all(max(point.images, point.batch_size)))
    if point.stage == "trained":
        _, carry, _ = trial.trained(Point.of(point), folder)
    else:
        carry = step.initialize(network, optimizer.build(), step.keys_of(point.seed), images[:1])
    key = stream(step.keys_of(point.seed), "lanczos")
    with jax.enable_x64(True):
        images = images.astype(jnp.float64)
        state = carry.state
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
    return jit_unoptimized(function, 0) if isinstance(network.stem, DenseStem) else jax.jit(function, static_argnums=0)


def settled(point: Point, network: Network, params, state, images):
    """The state whose running statistics are those of these images, for norms that have some."""
    twin = registry.network(point, network.head.classes, norm=of_last_batch(registry.norm(point.norm)))
    return jit_unoptimized(whiteness.settled, 0)(twin, params, state, images)


def jacobians(network: Network, params, state, images, key):
    """By image, the singular values of the Jacobian of all blocks, largest first, and its log-determinant."""

    def whole(x):
        return blocks.run(network, params, state, x[None])[0][0]

    x = network.run_stem(params, state, images)
    if x[0].size > EXACT:
        values = jax.lax.map(lambda x: singular_values.spectrum(whole, x, key, STEPS)[0][0], x)
        return {"values": values, "logdet": jnp.full(len(x), jnp.nan), "square": forward.mean_square(x)}
    matrices = jax.lax.map(lambda x: singular_values.matrix(whole, x), x)
    return {
        "values": jnp.linalg.svd(matrices, compute_uv=False),  # images, D
        "logdet": jnp.linalg.slogdet(matrices)[1],
        "square": forward.mean_square(x),
    }


def first_attempt(network: Network, params, state, images, key):
    """The streams before and behind the blocks, the blocks' constants, and the inverse by fixed points."""
    x = network.run_stem(params, state, images)
    y, _ = blocks.run(network, params, state, x)
    few = x[:4]  # gains are taken at
    return {
        "before": x,
        "behind": y,
        "upper": lipschitz_bounds.upper(network, params, state, few[:1], key),
        "lower": lipschitz_bounds.lower(network, params, state, few, key),
        "inverse": undo(network, params, state, y, x, newton_steps=0),
    }


def second_attempt(network: Network, params, state, y, x):
    """The inverse once more, with Newton's method where the fixed point is not reached."""
    return undo(network, params, state, y, x, newton_steps=20)


def undo(network: Network, params, state, y, x, newton_steps: int):
    """The inverse at y (images … D), and by image how far it is from the x that y was made of."""
    found = inversion.invert(network, params, state, y, newton_steps=newton_steps)
    error, size = (jnp.linalg.norm(tree.reshape(len(x), -1), axis=-1) for tree in (found.x - x, x))
    return found._asdict() | {"error": error / size, "size": size}


def error_bound(found: dict, back: dict) -> float:
    """What theory bounds the largest error of the inverse by; nan where it has no bound."""
    if (found["upper"] >= 1).any():
        return math.nan
    return (inversion_bounds.total_bound(found["upper"], back["iterations"], back["first"]) / back["size"]).max()


def summary(point, network: Network, found: dict, back: dict) -> dict[str, float]:
    """The row of the table."""
    values = found["values"]
    upper = found["upper"]
    size = found["before"][0].size
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
    factors = theory.paths(network.blocks[0].connection, network.length)
    if factors is None or len(set(factors[1].tolist())) > 1:
        return math.nan
    return factors[1][0] ** 0.5


def condition(point, network: Network, square: float) -> float:
    """κ of wide blocks near the identity, where there is a formula: at the start, dense, ReLU, He's weights, 1/√L."""
    factors = theory.paths(network.blocks[0].connection, network.length)
    chosen = point.network, point.block, point.activation, point.order, point.initializer, point.spectral_norm
    usual = (
        chosen == ("dense", "", "relu", "pre", "he_normal", 0.0)
        and not point.projections
        and point.norm in ("none", "batch", "layer", "rms")
    )
    if point.stage != "start" or not usual or factors is None or (factors[0] != 1).any() or (factors[1] > NEAR).any():
        return math.nan
    return theory.condition(factors[1], point.norm, network.length, network.blocks[0].branch.layers, square)
