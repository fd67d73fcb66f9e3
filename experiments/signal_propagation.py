"""What becomes of activations and gradients on their way through a deep network, before any training?

    python -m experiments.signal_propagation
    python -m experiments.signal_propagation --network=preact --inputs=16,16,3 --depths=110 --norms=none,batch
    python -m experiments.signal_propagation --block=my_fork.blocks:Mine --connections=residual

For every connection × norm × initialiser × depth × seed: the mean squares of stream, branch and gradient,
the cosine between two inputs and between their gradients, the direct path's share of the gradient and the
share of dead units, at every block. The figure shows the deepest networks of the first initialiser, with
the theory (dashed) for dense ReLU networks with He's.

A minute on 2 CPU cores. Where squares grow, their logarithm is the theory's to within 5 %, which at 1000
layers is a factor of 26 beside 10¹⁴⁹ (skips, no norm), 10⁵ beside 10¹⁶⁵ (plain, batch norm), 1.7 beside 10⁴
(skips, batch norm). Plain networks without a norm wander about their constant: at finite width their logarithms are
random walks (Hanin 2018, arXiv 1801.03744). Inputs at cosine ½ end at cosine 1 in plain networks with no norm
or layer norm, at 0.34 with batch norm.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

import resjax
from resjax.lab.config import Probed, Probing, Running, option

TABLE = {
    "connection": "str",
    "norm": "str",
    "initializer": "str",
    "depth": "int64",
    "layer": "int64",  # weighted layers before the block, the stem's counted
    "seed": "int64",
    "activation_mean_square": "float64",
    "branch_mean_square": "float64",
    "input_cosine": "float64",
    "gradient_mean_square": "float64",
    "direct_share": "float64",
    "gradient_cosine": "float64",
    "dead_fraction": "float64",
}
PROBED = list(TABLE)[6:]
LIMITS = 1e-15, 1e15  # of the figure
PANELS = {
    "activation_mean_square": "activations, mean square",
    "gradient_mean_square": "gradient, mean square\n(last block = 1)",
    "input_cosine": "cosine of two inputs",
}


@dataclasses.dataclass(frozen=True)
class Config(Running, Probing):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((1000,), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(
        ("plain", "residual", "scaled(power=0.5)", "rezero"), "connections, as in depth_scaling"
    )
    norms: tuple[str, ...] = option(("none", "batch", "layer"), "normalisations, as in depth_scaling")
    initializer: tuple[str, ...] = option(("he_normal",), "initialisers, as in depth_scaling")
    width: int = option(256, "units or filters of the stem", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def run(config: Config):
    """Reads every network that is not read yet, then writes the table and the figure."""
    todo = [
        Probed.of(config, connection=connection, norm=norm, initializer=initializer, depth=depth, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for initializer in config.initializer
        for depth in config.depths
        for seed in range(config.seeds)
    ]
    for point in todo:
        resjax.lab.initial.plan(point)
    work = resjax.lab.workdir.WorkDirectory.open("signal_propagation", config, {"results": TABLE})
    if not config.plot_only:
        with resjax.lab.session.session(work, total=len(todo)) as session:
            found = [rows(point, session.measure(point, read)) for point in todo]
        work.write_table("results", [row for point_rows in found for row in point_rows])
    results = work.read_table("results")
    plot(config, results, work.path / "figure")
    resjax.lab.session.show(summary(results), title="the deepest networks: last block against first")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def read(point: Probed) -> dict[str, list[float]]:
    """What the table holds of one network."""
    return resjax.lab.initial.read(point, PROBED)


def rows(point: Probed, found: dict) -> list[dict]:
    """A row a block."""
    length = len(found["activation_mean_square"])
    a_block = (point.depth - 2) / length
    return [
        dataclasses.asdict(point)
        | {"layer": 1 + round(place * a_block)}
        | {name: found[name][place] for name in PROBED}
        for place in range(length)
    ]


def summary(results):
    """How much activations grow on their way and gradients on theirs, and where the cosines end."""
    deepest = results[results["depth"] == results["depth"].max()]
    names = ["connection", "norm", "initializer"]
    families = deepest.groupby([*names, "layer"], sort=False).mean().groupby(names, sort=False)
    first = families.first()
    last = families.last()
    shown = last[["input_cosine", "dead_fraction"]]
    shown.insert(0, "activations", last["activation_mean_square"] / first["activation_mean_square"])
    shown.insert(1, "gradients", first["gradient_mean_square"] / last["gradient_mean_square"])
    return shown.reset_index()


def plot(config: Config, results, path: pathlib.Path):
    """Activations, gradients and cosines against the layer: a column a norm, a line a connection."""
    norms = list(results["norm"].unique())
    color = dict(zip(results["connection"].unique(), itertools.cycle(resjax.lab.figures.COLORS), strict=False))
    shown = results[results["depth"] == results["depth"].max()]
    shown = shown[shown["initializer"] == shown["initializer"].iloc[0]]
    with resjax.lab.figures.figure(path, len(norms), len(PANELS), height=5.4, sharex=True, sharey="row") as axes:
        for at, axis in enumerate(axes):
            row, column = divmod(at, len(norms))
            quantity = list(PANELS)[row]
            for connection, family in shown[shown["norm"] == norms[column]].groupby("connection", sort=False):
                mean = family.groupby("layer")[quantity].mean()
                mean = mean / mean.iloc[-1] if quantity == "gradient_mean_square" else mean
                axis.plot(mean.clip(*LIMITS), color=color[connection], label=connection)
                line = theory(config, family, quantity)
                if line is not None:
                    axis.plot(mean.index, line.clip(*LIMITS), "k--", linewidth=0.7, label="theory")
            if quantity == "input_cosine":
                axis.set(ylim=(-0.05, 1.05), xlabel="layer")
            else:
                axis.set(yscale="log", ylim=LIMITS)
        for axis, norm in zip(axes, norms, strict=False):
            axis.set_title(f"norm {norm}")
        for axis, label in zip(axes[:: len(norms)], PANELS.values(), strict=True):
            axis.set_ylabel(label)
        resjax.lab.figures.legend(axes, columns=5)


def theory(config: Config, family, quantity: str) -> np.ndarray | None:
    """The line for one network, where there is one: dense, ReLU, He's weights, pre-activation, Gaussian inputs."""
    connection, norm, initializer, depth = family[["connection", "norm", "initializer", "depth"]].iloc[0]
    first = family[family["layer"] == family["layer"].min()]
    length = family["layer"].nunique()
    start = first["activation_mean_square"].mean()
    layers = (depth - 2) // length
    factors = resjax.theory.paths(resjax.lab.registry.connection(connection), length)
    chosen = config.network, config.block, config.activation, config.order, config.bias_initializer
    usual = chosen == ("dense", "", "relu", "pre", "zeros") and not (config.projections or config.spectral_norm)
    if not usual or initializer != "he_normal" or norm not in ("none", "batch", "layer", "rms") or factors is None:
        return None
    if quantity != "input_cosine":
        squares, gradients = resjax.theory.growth(*factors, norm, length, layers, start)
        return squares if quantity == "activation_mean_square" else gradients
    if norm == "none" or (norm != "batch" and not factors[0].any()):  # then all inputs stay equally large
        return resjax.theory.cosines(first["input_cosine"].mean(), length, *factors, layers)[:-1]
    return None


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
