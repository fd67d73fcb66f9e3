"""May layers be dropped while a network trains: what does it gain, in error and in time?

    python -m experiments.stochastic_depth
    python -m experiments.stochastic_depth --preset=stochastic110_cifar10 --survival='none,linear(last=0.5)'
    python -m experiments.stochastic_depth --depths=56,1000 --drop=batch --survival='none,uniform(p=0.9)'

Trains every depth × schedule × way of dropping × seed (Huang et al. 2016, arXiv 1603.09382) and draws the
error, and the time of a step beside that of the full network, against the blocks that are expected to be
live. `batch` drops a block for the whole batch and does not compute it, `subset` computes it for a part of the batch,
`sample` computes all and drops examples by themselves.

Three minutes on 2 CPU cores. All errors on the held-out digits are between 0.3 and 3 %, and 297 images show no order
among them. Nor does dropping save time in networks so small (0.9 to 1.3 of the full one's step of 4 to 14 ms);
in ResNet-110, and in wide layers, it does (see `benchmarks.throughput`).
"""

import dataclasses
import itertools
import pathlib

import resjax
from resjax.lab.config import Point, Running, Training, option

POINT = {
    "depth": "int64",
    "connection": "str",
    "norm": "str",
    "survival": "str",
    "drop": "str",
    "scaling": "str",
    "seed": "int64",
    "blocks": "int64",
    "expected_blocks": "float64",  # that are live in a step, Σp
}
RESULTS = POINT | {
    "train_loss": "float64",
    "train_accuracy": "float64",
    "test_accuracy": "float64",
    "diverged": "Int64",  # the first step whose loss was not finite; empty if there was none
}
TIMINGS = POINT | {"step_milliseconds": "float64", "total_seconds": "float64"}


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((20, 110), "weighted layers of each network", minimum=1)
    connection: str = option("residual", "how F(x) meets the stream")
    norm: str = option("batch", "normalisation")
    survival: tuple[str, ...] = option(
        ("none", "linear(last=0.5)", "linear(last=0.2)", "uniform(p=0.75)", "uniform(p=0.5)"),
        "stochastic depth, the probability with which training keeps a block: none, linear(last=0.5), uniform(p=0.5), "
        "stage(number=1,p=0.5), package.module:function of lengths, the blocks of each stage, that gives L numbers",
    )
    drop: tuple[str, ...] = option(
        ("batch", "sample", "subset"),
        "what training drops: batch, a block for the whole batch, not computed then; sample, a block for each example "
        "by itself, which saves no time; subset, a block for a random part of the batch, the same p in all of a stage",
        choices=("batch", "sample", "subset"),
    )
    steps: int = option(300, "training steps", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def points(config: Config) -> list[Point]:
    """One point a row of the table; the full network once, whatever the ways of dropping."""
    return [
        Point.of(config, depth=depth, survival=survival, drop=drop, seed=seed)
        for depth in config.depths
        for survival in config.survival
        for drop in (config.drop[:1] if survival == "none" else config.drop)
        for seed in range(config.seeds)
    ]


def run(config: Config):
    """Trains what is not trained yet, then writes the tables and the figure."""
    wanted = points(config)
    networks = [resjax.lab.plan.plan(point)[0] for point in wanted]
    work = resjax.lab.workdir.WorkDirectory.open("stochastic_depth", config, {"results": RESULTS, "timings": TIMINGS})
    if not config.plot_only:
        with resjax.lab.session.session(work, total=sum(point.depth for point in wanted)) as session:
            for point in wanted:  # one after the other, and nothing compiles beside: the steps are timed
                session.train(point, share=point.depth)
        rows = [
            row | {"blocks": network.length, "expected_blocks": expected(network)}
            for row, network in zip(work.rows(wanted), networks, strict=True)
        ]
        for name in ("results", "timings"):
            work.write_table(name, rows)
    results = work.read_table("results")
    timings = work.read_table("timings")
    plot(results, timings, work.path / "figure")
    shown = results.pivot_table("test_accuracy", ["depth", "survival"], "drop", sort=False)
    resjax.lab.session.show(shown.reset_index(), title="held-out accuracy, mean over seeds")
    print(f"tables: {work.path / 'results.csv'}, timings.csv\nfigure: {work.path / 'figure.png'}")


def expected(network) -> float:
    """The expected number of live blocks."""
    return sum(network.stochastic_depth.survival) if network.stochastic_depth else float(network.length)


def plot(results, timings, path: pathlib.Path):
    """Held-out error (left) and time of a step (right) against the expected share of live blocks, a colour a depth."""
    with resjax.lab.figures.figure(path, panels=2, height=2.9) as (left, right):
        color = dict(zip(sorted(set(results["depth"])), itertools.cycle(resjax.lab.figures.COLORS), strict=False))
        marker = dict(zip(dict.fromkeys(results["drop"]), itertools.cycle("osv^D"), strict=False))
        share = results["expected_blocks"] / results["blocks"]
        error = 100 * (1 - results["test_accuracy"].fillna(0))
        full = timings[timings["survival"] == "none"].groupby("depth")["step_milliseconds"].median()
        time = timings["step_milliseconds"] / timings["depth"].map(full)
        for (depth, drop), rows in results.groupby(["depth", "drop"], sort=False):
            style = {"marker": marker[drop], "color": color[depth], "linestyle": "none", "alpha": 0.8}
            left.plot(share[rows.index], error[rows.index], label=f"{depth} layers, {drop}", **style)
            right.plot(share[rows.index], time[rows.index], **style)
        right.plot([0, 1], [0, 1], "k:", linewidth=0.8, label="time as blocks")
        left.set(ylabel="held-out error (%)", ylim=(0, None))
        right.set(ylabel="time of a step / the full network's", ylim=(0, None))
        for axis in (left, right):
            axis.set(xlabel="expected share of live blocks", xlim=(0, 1.05))
        resjax.lab.figures.legend((left, right), columns=4)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
