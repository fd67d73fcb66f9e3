"""Many networks that differ by their seed alone: how the squares of their activations and gradients part with depth."""

import functools
import itertools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from resjax import theory
from resjax.lab import figures, legends, start, wide_limit
from resjax.lab.canvas import Canvas
from resjax.lab.trial import Start
from resjax.network import Network
from resjax.probes import backward, forward
from resjax.random_streams import stream

if TYPE_CHECKING:
    import pandas as pd

READ = "activation_mean_square", "gradient_mean_square"
LEVELS = 0.05, 0.25, 0.5, 0.75, 0.95  # of the quantiles over the networks
PLACES = 51  # blocks of a network, spread evenly, that are reported
MEMORY = 2**28  # bytes of weights that are there at a time
WALKS = {"activation": "ln activation / first", "gradient": "ln gradient / last"}  # mean squares


def read(trial: Start, networks: int) -> dict[str, list[Any]]:
    """How far the squares of many networks, which differ by their seed alone, are apart at their start.

    Each gets one Gaussian input of its own. They are read in one program, as many at a time as `MEMORY` holds.

    Args:
      trial: one of the networks.
      networks: how many.

    Returns:
      A table by column, of some blocks: layer, the weighted layers before the block; level; and quantiles of logarithms
      of mean squares before the block: activation, the stream's less that before the first block; gradient, that
      towards the stream less that before the last block. A quantile is the value of one of the networks.
    """
    network = start.plan(trial)
    with jax.enable_x64(trial.x64):
        keys = jax.random.split(jax.random.key(trial.seed), networks)
        found = jax.device_get(_read(network, trial.inputs, "float64" if trial.x64 else "float32", keys))
    blocks = np.unique(np.linspace(0, network.length - 1, PLACES).round().astype(int))  # P
    with np.errstate(divide="ignore", invalid="ignore"):
        activation, gradient = (np.log(found[name]) for name in READ)  # N L
        walks = {"activation": activation - activation[:, :1], "gradient": gradient - gradient[:, -1:]}
    apart = {name: np.quantile(walk[:, blocks], LEVELS, axis=0, method="nearest") for name, walk in walks.items()}
    layers = 1 + blocks * ((trial.depth - 2) // network.length)
    level, layer = np.meshgrid(LEVELS, layers, indexing="ij")  # Q P
    return {name: values.ravel().tolist() for name, values in {"layer": layer, "level": level, **apart}.items()}


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _read(network: Network, inputs: tuple[int, ...], dtype: str, keys: jax.Array) -> dict[str, Any]:
    def one(key):
        x = forward.pairs(stream(key, "inputs"), 1, inputs, 1.0, dtype)[:1]
        params, state = forward.started(network, stream(key, "weights"), x)
        found = backward.read(network, params, state, x, backward.readout(stream(key, "readout")))
        return {name: found[name] for name in READ}

    weights = jax.tree.leaves(jax.eval_shape(network.init, keys[0], jnp.zeros((1, *inputs), dtype)))
    size = sum(leaf.size for leaf in weights) * jnp.finfo(dtype).bits // 8
    return jax.lax.map(one, keys, batch_size=max(1, min(len(keys), MEMORY // size)))


def draw(table: "pd.DataFrame", canvas: Canvas) -> None:
    """Logarithms of squares against the layer, a column a width: median, quarters and 90 % of the networks."""
    config: Any = canvas.config  # of signal_propagation
    widths = list(table["width"].unique())
    note = f"{config.networks} networks: median, 25–75 %, 5–95 %"
    with canvas.figure("wandering", len(widths), len(WALKS), 3.6, note, sharex=True, sharey="row") as axes:
        for axis, ((walk, label), width) in zip(axes, itertools.product(WALKS.items(), widths), strict=True):
            own = table[table["width"] == width].pivot(index="layer", columns="level", values=walk)
            layers = own.index - own.index[0] if walk == "activation" else own.index[-1] - own.index
            for low, high in zip(LEVELS[:2], LEVELS[:2:-1], strict=True):
                axis.fill_between(own.index, own[low], own[high], color=figures.COLORS[0], alpha=0.2, linewidth=0)
            axis.plot(own[0.5], color=figures.COLORS[0], label="median")
            axis.axhline(0, color="k", linewidth=0.7, label="mean, theory")
            if wide_limit.holds(config, config.initializer[0], "none"):
                lines = theory.random_walk_quantiles(int(width), layers.to_numpy(), np.array(LEVELS))
                axis.plot(own.index, lines.T, "k--", linewidth=0.7, label="quantiles, theory")
            axis.set(ylabel=label if width == widths[0] else "")
            if walk == "activation":
                axis.set_title(f"width {width}")
            else:
                axis.set_xlabel("layer")
        legends.legend(axes, columns=3)
