"""Do the gradients of deep networks look like white noise, and what do skips and norms do about it?

    python -m experiments.shattered_gradients
    python -m experiments.shattered_gradients --networks='residual,scaled(power=0.5)' --norms=batch --depths=100

The setting of Balduzzi et al. 2017 (arXiv 1702.08591): ReLU networks of width 200 at their start. `series`:
the autocorrelation of df/dx over a grid of 256 inputs on [−2, 2] of a network f: R → R, whose statistics
(center, batch) are those of the grid. `results`: variance, covariance and correlation of the gradients
at independent inputs of the width's dimension. A depth counts ReLU layers, one a block.

Just under five minutes on 2 CPU cores. One layer: as slow as Brown noise. 50 plain layers or residual ones with their
means taken away: white noise. 50 residual layers with batch norm: in between, the slower the smaller β is. The
correlations follow 2^−L and (3/4)^L; without centring the arc-cosine kernels, until some 1/width; with
batch norm and β = 1 not the paper's 1/√L but what `theory.normalized_residual` has with 1 − 1/π. The gradient
of looks_linear is one constant: its correlation is 1, its autocorrelation undefined.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

import resjax
from resjax.lab.config import Architecture, Running, Untrained, option
from resjax.system.errors import UserError

KEY = {"network": "str", "norm": "str", "beta": "float64", "depth": "int64", "seed": "int64"}
SERIES = KEY | {"lag": "int64", "autocorrelation": "float64"}
RESULTS = KEY | {
    "gradient_variance": "float64",
    "gradient_covariance": "float64",
    "gradient_correlation": "float64",  # covariance / variance
}
FLOOR = 1e-4  # of the figure's correlations: what 20 networks do not tell from zero
LOOKS_LINEAR = {"connection": "plain", "norm": "none", "activation": "crelu", "initializer": "looks_linear"}
SHOWN = (("plain", "center"), ("residual", "center"), ("residual", "batch"), ("looks_linear", "none"))


@dataclasses.dataclass(frozen=True)
class Sampling:
    """What is measured of every kind of network."""

    seeds: int = option(20, "networks of each kind: seeds 0, 1, …", minimum=1)
    points: int = option(256, "inputs on the grid, and independent inputs", minimum=2)
    lags: int = option(15, "the largest lag of the autocorrelation", minimum=1)
    x64: bool = option(False, "compute in float64")


@dataclasses.dataclass(frozen=True)
class Config(Running, Sampling, Architecture):
    """The options of this experiment."""

    networks: tuple[str, ...] = option(
        ("plain", "residual", "looks_linear"), "connections, as in depth_scaling; looks_linear: plain, crelu, [W′, −W′]"
    )
    norms: tuple[str, ...] = option(("none", "center", "batch"), "normalisations; center: batch norm's first half")
    betas: tuple[float, ...] = option(
        (1.0, 0.1), "of residual networks with a norm that scales; of the others beta is 1: x + beta · F(x)"
    )
    depths: tuple[int, ...] = option((1, 2, 4, 8, 24, 50), "ReLU layers", minimum=1)
    branch: str = option("dense(layers=1)", "what a block computes")
    width: int = option(200, "units or filters of the stem", minimum=1)


@dataclasses.dataclass(frozen=True)
class Kind(Untrained, Sampling):
    """Networks of one kind and depth, all seeds together."""

    beta: float = option(1.0, "of residual networks: x + beta · F(x)")


def build(kind: Kind):
    """The network, of `depth` ReLU layers between stem and head."""
    from resjax.lab import registry
    from resjax.nn.norms import of_last_batch

    connection = f"scaled(beta={kind.beta})" if kind.connection == "residual" else kind.connection
    point = dataclasses.replace(kind, connection=connection, depth=kind.depth + 2)
    network = registry.network(point, classes=1, norm=of_last_batch(registry.norm(kind.norm)))
    if kind.network != "dense" or network.blocks[0].branch.layers != 1:
        raise UserError("--network, --branch: a depth counts blocks of one dense layer; other blocks, by --block")
    return network


def kinds(config: Config) -> list[tuple[dict, Kind]]:
    """What the tables call a kind, and the kind."""
    found = []
    for network, norm in itertools.product(config.networks, config.norms):
        if network == "looks_linear" and norm != config.norms[0]:
            continue
        choices = LOOKS_LINEAR if network == "looks_linear" else {"connection": network, "norm": norm}
        scaled = network == "residual" and norm not in ("none", "center")  # the law without a scale is for beta 1
        for beta in config.betas if scaled else (1.0,):
            for depth in config.depths:
                kind = Kind.of(config, depth=depth, beta=beta, **choices)
                found.append(({"network": network, "norm": kind.norm, "beta": beta, "depth": depth}, kind))
    return found


def run(config: Config):
    """Measures every kind that is not measured yet, then writes the tables and the figure."""
    if config.lags >= config.points:
        raise UserError(f"--lags={config.lags}: must be less than --points={config.points}")
    todo = kinds(config)
    for _, kind in todo:
        build(kind)
    work = resjax.lab.workdir.WorkDirectory.open("shattered_gradients", config, {"results": RESULTS, "series": SERIES})
    if not config.plot_only:
        results = []
        series = []
        with resjax.lab.session.session(work, total=len(todo)) as session:
            for key, kind in todo:
                found = session.measure(kind, measure)
                for seed in range(config.seeds):
                    row = key | {"seed": seed}
                    variance, covariance = (found[name][seed] for name in ("gradient_variance", "gradient_covariance"))
                    moments = {"gradient_variance": variance, "gradient_covariance": covariance}
                    results.append(row | moments | {"gradient_correlation": covariance / variance})
                    series += [
                        row | {"lag": lag, "autocorrelation": value}
                        for lag, value in enumerate(found["autocorrelation"][seed])
                    ]
        work.write_table("results", results)
        work.write_table("series", series)
    results = work.read_table("results")
    series = work.read_table("series")
    plot(results, series, config, work.path / "figure")
    resjax.lab.session.show(summary(results, series), title="means over the networks")
    print(f"tables: {work.path / 'results.csv'}, series.csv\nfigure: {work.path / 'figure.png'}")


def measure(kind: Kind) -> dict:
    """Autocorrelation and moments of all networks of one kind, under one `vmap`: lists over seeds."""
    import jax
    import jax.numpy as jnp

    from resjax.lab import initial as reading
    from resjax.probes import whiteness

    network = build(kind)
    (stack,) = network.stages
    stages = (dataclasses.replace(stack, length=kind.depth - 1),) if kind.depth > 1 else ()
    scalar = dataclasses.replace(network, stages=stages)
    blocks = whiteness.without_ends(network)

    def one(key):
        scalar_key, blocks_key, inputs_key, direction_key = jax.random.split(key, 4)
        grid = jnp.linspace(-2, 2, kind.points)
        params, state = reading.start(scalar, scalar_key, whiteness.scalars(grid))
        state = whiteness.settled(scalar, params, state, whiteness.scalars(grid))
        slopes = whiteness.scalar_slopes(scalar, params, state, grid)
        x = jax.random.normal(inputs_key, (kind.points, kind.width))
        params, state = reading.start(blocks, blocks_key, x)
        state = whiteness.settled(blocks, params, state, x)
        direction = jax.random.normal(direction_key, (kind.width,)) / kind.width**0.5
        moments = whiteness.moments(blocks, params, state, x, direction)
        return moments | {"autocorrelation": whiteness.autocorrelation(slopes, kind.lags)}

    with jax.enable_x64(kind.x64):
        found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(kind.seed), kind.seeds))
        return {name: values.tolist() for name, values in jax.device_get(found).items()}


def summary(results, series):
    """Correlation of gradients and autocorrelation at lag 1 of each family, depths across."""
    families = ["network", "norm", "beta"]
    lag1 = series[series["lag"] == 1].pivot_table("autocorrelation", families, "depth", sort=False)
    pairs = results.pivot_table("gradient_correlation", families, "depth", sort=False)
    shown = [pairs.iloc[:, -1].rename("correlation, deepest"), lag1.iloc[:, 0].rename("lag 1, shallowest")]
    return lag1.iloc[:, -1].rename("lag 1, deepest").to_frame().join(shown).reset_index()


def plot(results, series, config: Config, path: pathlib.Path):
    """Left: autocorrelation by lag beside two noises. Right: correlation of gradients by depth, with theory."""
    colors = itertools.cycle(resjax.lab.figures.COLORS)
    with resjax.lab.figures.figure(path, panels=2, height=3.0) as (left, right):
        for (network, norm, beta), rows in results.groupby(["network", "norm", "beta"], sort=False):
            if (network, norm) not in SHOWN:
                continue
            color = next(colors)
            label = network if network != "residual" else f"residual, β = {beta:g}"
            label = label if network == "looks_linear" else f"{label}, {norm}"
            by_depth = rows.groupby("depth")
            mean = by_depth["gradient_covariance"].mean() / by_depth["gradient_variance"].mean()
            right.plot(mean.clip(lower=FLOOR), "o-", color=color, label=label)
            same = (series["network"] == network) & (series["norm"] == norm) & (series["beta"] == beta)
            deepest = series[same & (series["depth"] == rows["depth"].max())]
            left.plot(deepest.groupby("lag")["autocorrelation"].mean(), color=color)
        shallow = series[(series["network"] == "plain") & (series["norm"] == "none")]
        if len(shallow):
            least = shallow["depth"].min()
            rows = shallow[shallow["depth"] == least].groupby("lag")["autocorrelation"]
            left.plot(rows.mean(), color="0.5", linestyle="--", label=f"plain, none, {least} layer")
        for noise, style in (("white", "-."), ("Brown", "-")):
            left.plot(noise_autocorrelation(noise, config), style, color="k", linewidth=0.8, label=f"{noise} noise")
        depth = np.unique(np.geomspace(1, results["depth"].max(), 60).round()).astype(int)
        paper = [0.5**depth, 0.75**depth]
        ours = [resjax.theory.gradient_correlation(0.0, depth.max())[depth]]
        plain = results[(results["network"] == "plain") & (results["norm"] == "none")].groupby("depth")
        if len(plain):
            right.plot(
                plain["gradient_covariance"].mean() / plain["gradient_variance"].mean(),
                "o-",
                color="0.5",
                label="plain, none",
            )
        for beta in config.betas:
            for lines, varying in ((paper, 1.0), (ours, 1 - 1 / np.pi)):
                variance, covariance = resjax.theory.normalized_residual(beta, depth.max(), varying)
                lines.append((covariance / variance)[depth])
        for lines, style, label in ((paper, "k--", "Balduzzi et al."), (ours, "k:", "κ₀, centred variance")):
            for line in lines:
                right.plot(depth, np.clip(line, FLOOR, 1), style, linewidth=0.8, label=label)
        left.set(xlabel="lag", ylabel="autocorrelation of df/dx", ylim=(-0.1, 1.03))
        right.set(xlabel="depth (ReLU layers)", ylabel="correlation of gradients", xscale="log", yscale="log")
        right.set(ylim=(FLOOR, 1.5))
        resjax.lab.figures.legend((left, right), columns=3)


def noise_autocorrelation(kind: str, config: Config) -> np.ndarray:
    """The mean sample autocorrelation of as many series of noise, drawn with a seed of their own."""
    from resjax.probes.whiteness import autocorrelation

    noise = np.random.default_rng(0).standard_normal((max(config.seeds, 200), config.points))
    series = noise if kind == "white" else noise.cumsum(axis=1)
    return np.mean([autocorrelation(one, config.lags) for one in series], axis=0)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
