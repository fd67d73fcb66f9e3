"""Do the gradients of deep networks look like white noise, and what do skips and norms do about it?

    python -m experiments.shattered_gradients
    python -m experiments.shattered_gradients --connections='residual,scaled(power=0.5)' --norms=batch --depths=100

The setting of Balduzzi et al. 2017 (arXiv 1702.08591): ReLU networks of width 200 at their start. `series`: the
autocorrelation of df/dx over a grid of 256 inputs on [−2, 2] of a network f: R → R, whose statistics (center, batch)
are those of the grid. `results`: variance and covariance of the gradients at independent inputs.

Found, in just under five minutes on 2 CPU cores: one layer is as slow as Brown noise. 50 plain layers or residual ones
with their means taken away are white noise. 50 residual layers with batch norm are in between, the slower the smaller β
is. The correlations follow 2^−L and (3/4)^L; without centring the arc-cosine kernels, until some 1/width; with batch
norm and β = 1 not the paper's 1/√L but what `theory.normalized_residual` has with 1 − 1/π. looks_linear's is constant.

Not shown: gradients during training, and of networks of images.
"""

import dataclasses

import numpy as np

from resjax import lab, probes, theory
from resjax.lab.config import Architecture, Running
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, whole
from resjax.lab.trial import Variant
from resjax.system.errors import UserError

KEY = columns("connection", "norm", depth=whole("ReLU layers")) | columns("seed")
MOMENTS = columns(
    gradient_variance=number("of the gradients at independent inputs"),
    gradient_covariance=number("of two of them"),
    gradient_correlation=number("covariance / variance"),
)
SERIES = columns(lag=whole("steps of the grid"), autocorrelation=number("of df/dx along the grid"))
TABLES = {"results": KEY | MOMENTS, "series": KEY | SERIES}
LIMITS = 1e-4, 1.5  # of the figure's correlations: less 20 networks do not tell from zero
LOOKS_LINEAR = {"connection": "plain", "norm": "none", "activation": "crelu", "initializer": "looks_linear"}


@dataclasses.dataclass(frozen=True)
class Config(Running, Architecture):
    """The options of this experiment."""

    connections: tuple[str, ...] = option(
        ("plain", "residual", "scaled(beta=0.1)", "looks_linear"),
        "connections, as in depth_scaling; looks_linear: plain, no norm, crelu, [W′, −W′]",
    )
    norms: tuple[str, ...] = option(("none", "center", "batch"), "normalisations; center: batch norm's first half")
    depths: tuple[int, ...] = option((1, 2, 4, 8, 24, 50), "ReLU layers", minimum=1)
    branch: str = option("dense(layers=1)", "what a block computes")
    width: int = option(200, "units or filters of the stem", minimum=1)
    seeds: int = option(20, "networks of each kind: seeds 0, 1, …", minimum=1)
    points: int = option(256, "inputs on the grid, and independent inputs", minimum=2)
    lags: int = option(15, "the largest lag of the autocorrelation", minimum=1)
    x64: bool = option(False, "compute in float64")


def trials(config: Config) -> list[Variant]:
    """The kinds of networks; a kind's networks, of all seeds, are measured together."""
    if config.lags >= config.points:
        raise UserError(f"--lags={config.lags}: must be less than --points={config.points}")
    kinds = [{"connection": connection, "norm": norm} for connection in config.connections for norm in config.norms]
    kinds = [LOOKS_LINEAR if kind["connection"] == "looks_linear" else kind for kind in kinds]
    return list(dict.fromkeys(Variant.of(config, depth=depth + 2, **kind) for kind in kinds for depth in config.depths))


def build(trial: Variant):
    """The network.

    Raises:
      UserError: it cannot be, or its depth would not count ReLU layers.
    """
    network = lab.building.of_last_batch(trial, lab.building.network(trial, classes=1))
    if trial.network != "dense" or network.blocks[0].branch.layers != 1:
        raise UserError("--network, --branch: a depth counts blocks of one dense layer; other blocks, by --block")
    return network


def rows(bench, trial: Variant, config: Config):
    """A row a seed, and one a lag."""
    sampling = {name: getattr(config, name) for name in ("seeds", "points", "lags", "x64")}
    found = bench.once(measure, trial, **sampling)
    kind = {"connection": "looks_linear"} if trial.initializer == "looks_linear" else {}
    for seed in range(config.seeds):
        variance, covariance = (found[name][seed] for name in list(MOMENTS)[:2])
        row = kind | {"depth": trial.depth - 2, "seed": seed}
        moments = {"gradient_variance": variance, "gradient_covariance": covariance}
        yield "results", row | moments | {"gradient_correlation": covariance / variance}
        for lag, value in enumerate(found["autocorrelation"][seed]):
            yield "series", row | {"lag": lag, "autocorrelation": value}


def measure(trial: Variant, seeds: int, points: int, lags: int, x64: bool) -> dict[str, list]:
    """Autocorrelation and moments of all networks of one kind: lists over seeds."""
    import jax

    with jax.enable_x64(x64):
        found = probes.whiteness.of_many(build(trial), trial.seed, seeds, points, lags)
    return {name: values.tolist() for name, values in found.items()}


def summary(tables):
    """Correlation of gradients and autocorrelation at lag 1 of each family, depths across."""
    series = tables["series"]
    families = ["connection", "norm"]
    lag1 = series[series["lag"] == 1].pivot_table("autocorrelation", families, "depth", sort=False)
    pairs = tables["results"].pivot_table("gradient_correlation", families, "depth", sort=False)
    shown = [pairs.iloc[:, -1].rename("correlation, deepest"), lag1.iloc[:, 0].rename("lag 1, shallowest")]
    return lag1.iloc[:, -1].rename("lag 1, deepest").to_frame().join(shown).reset_index(), "means over the networks"


def draw(tables, canvas):
    """Left: autocorrelation by lag beside two noises. Right: correlation of gradients by depth, with theory."""
    results = tables["results"]
    series = tables["series"].groupby(["connection", "norm"])
    color = lab.figures.colors(results["connection"])
    style = lab.figures.styles(results["norm"])
    with canvas.figure(
        panels=2, height=3.1, note="lines: means over the networks; grey: the shallowest; right, black: theory"
    ) as (left, right):
        right.set(xlabel="depth (ReLU layers)", ylabel="correlation of gradients", xscale="log", yscale="log")
        for (connection, norm), rows in results.groupby(["connection", "norm"], sort=False):
            by_depth = rows.groupby("depth")
            mean = by_depth["gradient_covariance"].mean() / by_depth["gradient_variance"].mean()
            look = {"color": color[connection], "marker": "o", "label": f"{connection}, {norm}"}
            lab.figures.leaving(right, mean.index, mean, LIMITS, style[norm], **look)
            own = series.get_group((connection, norm)).groupby(["lag", "depth"])["autocorrelation"].mean().unstack()
            left.plot(own.iloc[:, -1], style[norm], color=color[connection])
            left.plot(own.iloc[:, 0], color="0.7", linewidth=0.8)
        config = canvas.config
        for noise, dashes in (("white", "-."), ("Brown", "-")):
            sizes = max(config.seeds, 200), config.points, config.lags
            line = probes.whiteness.noise_autocorrelation(noise == "Brown", np.random.default_rng(0), *sizes)
            left.plot(line, dashes, color="k", linewidth=0.8, label=f"{noise} noise")
        depth = np.unique(np.geomspace(1, results["depth"].max(), 60).round()).astype(int)
        scales = [lab.names.parse(name, "connection") for name in config.connections]
        betas = [arguments.get("beta", 1.0) for name, arguments in scales if name in ("residual", "scaled")]
        lines = theory.correlations(int(depth.max()), betas)
        for own, dashes in zip(lines.values(), ("k--", "k:"), strict=True):
            right.plot(depth, own[:, depth].T, dashes, linewidth=0.8)
        left.set(xlabel="lag", ylabel="autocorrelation of df/dx", ylim=(-0.1, 1.03))
        lab.legends.legend((left, right), columns=3)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, lambda trial, config: build(trial), images=True)

if __name__ == "__main__":
    STUDY.main()
