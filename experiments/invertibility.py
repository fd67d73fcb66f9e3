"""Which networks can be undone, and how evenly do they stretch what goes through them?

    python -m experiments.invertibility
    python -m experiments.invertibility --stages=start --depths=10,100,1000 --spectral_norm=0 --images=2 \\
        --connections='plain,residual,scaled(power=0.5),scaled(power=1)'
    python -m experiments.invertibility --stages=start --depths=10,100 --spectral_norm=0 --images=2 \\
        --connections='scaled(power=0.5),scaled(power=1)' --width=16,64,256,1024

A block x + g(x) has an inverse if g's Lipschitz constant is below 1 (Behrmann et al. 2019, arXiv 1811.00995). For every
connection × norm × bound on the layers' norms × width × depth × seed, before and after training: that constant from
above and below, the share of blocks where it is below 1, and at some training images the singular values σ of the
Jacobian of all blocks, their ratio κ, its log-determinant between the bounds that the constants give, and the error
of the inverse, found block by block, last to first. A table row is one network at one stage.

Four minutes on 2 CPU cores, eleven and five for the other commands (`results/invertibility` and `_1024`). At the
start, widths 16 to 256: with branches over L κ is 3.8–5.5, 1.5–1.6 and 1.13–1.15 for 10, 100 and 1000 layers (wide
limit: 4.2, 1.50, 1.135), over √L 16 to 36 at all depths (limit: 21.1). Width 1024 adds little to 256: 38 and 27 for 10
and 100 layers over √L, 5.7 and 1.58 over L, above the limit, which is that of many weak layers. All these are inverted
to 10⁻¹², though the bounds promise it only for 1000 layers (100 for 1/L). Residual networks with unscaled branches
have blocks of gain 3 to 4, κ of 10³ to 10⁵ at 10 layers and beyond float64 at 100, and are not inverted; with c = .9
all their blocks are invertible and κ is 3.6 to 4.2 (34 layers), after training 3.2 to 3.5. Of the spectrum of a plain
network 34–44 % is left after 10 layers, 19–23 % after 100, 3–6 % after 1000.
"""

import dataclasses
import itertools
import pathlib

import resjax
from resjax.lab.config import Point, Running, Training, option
from resjax.system.errors import UserError

TABLE = {
    "connection": "str",
    "norm": "str",
    "spectral_norm": "float64",
    "branch_scale": "float64",  # what F(x) is multiplied by at the start
    "width": "int64",
    "depth": "int64",
    "seed": "int64",
    "stage": "str",
    "train_accuracy": "float64",  # of the trained ones
    "lipschitz_lower": "float64",  # of the block with the largest
    "lipschitz_upper": "float64",
    "invertible_share": "float64",  # of the blocks, whose upper bound is below 1
    "sigma_min": "float64",  # geometric means over the images
    "sigma_max": "float64",
    "rank_share": "float64",  # of the singular values, those above the precision of float64
    "condition": "float64",
    "condition_theory": "float64",  # as the width grows; of the networks that it holds for
    "inverse_error": "float64",  # relative, the largest over the images
    "inverse_bound": "float64",  # on it, by the constants and iterations; where all constants are below 1
    "iterations": "int64",  # the most that a block took
    "newton_share": "float64",  # of blocks and images: the fixed point was not reached, Newton's method tried
    "not_inverted_share": "float64",  # nor did that find it
    "logdet": "float64",
    "logdet_lower": "float64",
    "logdet_upper": "float64",
}
MEASURED = list(TABLE)[9:]
PANELS = {  # label, limits
    "condition": ("condition number $\\kappa$", (1, 1e16)),
    "invertible_share": ("share of blocks with constant < 1", (0, 1)),
    "inverse_error": ("error of the inverse", (1e-16, 1e2)),
}
STAGES = {"start": "before training", "trained": "trained"}


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Where the Jacobians are taken."""

    images: int = option(4, "training images at which Jacobians and inverses are taken", minimum=1)


@dataclasses.dataclass(frozen=True)
class Config(Running, Sampling, Training):
    """The options of this experiment."""

    width: tuple[int, ...] = option((16, 64, 256), "units or filters of the stem", minimum=1)
    depths: tuple[int, ...] = option((34,), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(
        ("plain", "residual", "scaled(power=0.5)"), "connections, as in depth_scaling"
    )
    norms: tuple[str, ...] = option(("none",), "normalisations, as in depth_scaling")
    spectral_norm: tuple[float, ...] = option(
        (0.0, 0.9), "bounds on the spectral norm of every layer of a branch, below 1; 0: none", minimum=0
    )
    stages: tuple[str, ...] = option(tuple(STAGES), "when they are measured: start, trained", choices=tuple(STAGES))
    steps: int = option(100, "training steps", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


@dataclasses.dataclass(frozen=True)
class Undone(Point, Sampling):
    """One network, before or after training."""

    stage: str = option("start", "when it is measured", choices=tuple(STAGES))


def run(config: Config):
    """Trains and measures what is not done yet, then writes the table and the figure."""
    points = [
        Point.of(config, connection=connection, norm=norm, spectral_norm=bound, width=width, depth=depth, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for bound in config.spectral_norm
        for width in config.width
        for depth in config.depths
        for seed in range(config.seeds)
    ]
    check(config, points)
    work = resjax.lab.workdir.WorkDirectory.open("invertibility", config, {"results": TABLE})
    if not config.plot_only:
        rows = []
        with resjax.lab.session.session(work, total=len(points) * (1 + len(config.stages))) as session:
            for point, stage in itertools.product(points, config.stages):
                undone = Undone.of(point, images=config.images, stage=stage)
                trained = {"train_accuracy": None, "diverged": None}
                if stage == "trained":
                    trained = session.train(point, share=1.0)
                row = dataclasses.asdict(undone) | {"train_accuracy": trained["train_accuracy"]}
                if trained["diverged"] is None:
                    row |= session.measure(undone, lambda undone, point=point: measure(undone, work.folder(point)))
                    rows.append(row)
        work.write_table("results", rows)
    results = work.read_table("results")
    plot(results, work.path / "figure")
    shown = ["connection", "norm", "spectral_norm", "width", "depth", "stage", "invertible_share", "condition"]
    resjax.lab.session.show(results[[*shown, "inverse_error", "not_inverted_share"]], title="can it be undone?")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def check(config: Config, points: list[Point]):
    """Raises UserError: a bound that promises no inverse, a network that has none, or what `plan.plan` refuses."""
    from resjax.probes import blocks, inversion

    for bound in config.spectral_norm:
        if bound >= 1:
            raise UserError(f"--spectral_norm={bound:g}: an inverse is promised only below 1; 0 is for no bound")
    for point in points:
        network, _, dataset = resjax.lab.plan.plan(point)
        with resjax.lab.registry.flag("network", config.network):
            blocks.check(network)
        with resjax.lab.registry.flag("order", config.order):
            inversion.check(network)
        if config.images > len(dataset.train):
            raise UserError(f"--images={config.images}: {point.dataset} has {len(dataset.train)} training images")


def measure(point: Undone, folder: pathlib.Path) -> dict[str, float]:
    """What the table holds of one network, at its start or as it was trained in `folder`."""
    from experiments import invertibility_measure

    return invertibility_measure.measure(point, folder)


def plot(results, path: pathlib.Path):
    """κ, share of invertible blocks, error of the inverse against width: a row a stage, a line a kind and depth."""
    stages = list(results["stage"].unique())
    kinds = ["connection", "norm", "spectral_norm"]
    color = dict(
        zip(results.groupby(kinds, sort=False).groups, itertools.cycle(resjax.lab.figures.COLORS), strict=False)
    )
    style = dict(zip(sorted(set(results["depth"])), itertools.cycle(("-", "--", ":", "-.")), strict=False))
    widths = sorted(set(results["width"]))
    with resjax.lab.figures.figure(path, len(PANELS), len(stages), height=1.0 + 2.0 * len(stages), sharex=True) as axes:
        for axis, (stage, (quantity, (label, limits))) in zip(
            axes, itertools.product(stages, PANELS.items()), strict=True
        ):
            shown = results[results["stage"] == stage]
            for (*kind, depth), rows in shown.groupby([*kinds, "depth"], sort=False):
                mean = rows.groupby("width")[quantity].mean().clip(*limits)
                axis.plot(mean, style[depth], marker="o", color=color[*kind], label=_label(*kind, depth))
                theory = rows.groupby("width")["condition_theory"].mean().dropna()
                if quantity == "condition" and len(theory):
                    axis.plot(theory, "kx", markersize=5, label="wide limit")
            axis.set(xscale="log", yscale="linear" if quantity == "invertible_share" else "log", ylabel=label)
            axis.set_xticks(widths, labels=map(str, widths))
            axis.minorticks_off()
            axis.set_title(STAGES[stage])
        for axis in axes[-len(PANELS) :]:
            axis.set_xlabel("width")
        resjax.lab.figures.legend(axes, columns=4)


def _label(connection: str, norm: str, bound: float, depth: int) -> str:
    kind = connection if norm == "none" else f"{connection}, {norm}"
    return f"{kind}{f', c = {bound:g}' if bound else ''}, {depth}"


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
