"""May layers be dropped while a network trains: what does it gain, in error and in time?

    python -m experiments.stochastic_depth
    python -m experiments.stochastic_depth --preset=stochastic110_cifar10 --survival='none,linear(last=0.5)'
    python -m experiments.stochastic_depth --depths=56,1000 --drop=batch --survival='none,uniform(p=0.9)'

Trains every depth × schedule × way of dropping × seed (Huang et al. 2016, arXiv 1603.09382). Draws the error, and the
time of a step beside that of the full network, against the blocks that are expected to be live.

Found, in six minutes on 2 CPU cores, one seed, each network at its best rate: all errors on the held-out digits are
between 0.7 and 4 %, and 297 images show no order among them. Whether dropping saves time is for `benchmarks.throughput`
to say: these times are of a machine that others used, too.

Not shown: a data set on which regularisation matters.
"""

import dataclasses

from resjax import lab
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, whole
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES

KEY = columns(
    "depth", "connection", "norm", "survival", "drop", "scaling", "seed", "learning_rate", "at_edge",
    blocks=whole("of the network"),
    expected_blocks=number("that are live in a training step, Σp"),
)  # fmt: skip
TABLES = {
    "results": KEY | columns("train_loss", "train_accuracy", "test_accuracy", "diverged"),
    "timings": KEY | columns("step_milliseconds", "total_seconds"),
    "rates": columns("survival", "drop") | RATES,
}


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((20, 110), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("residual",), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
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


def trials(config: Config) -> list[Trial]:
    """One network a row of the table; the full network once, whatever the ways of dropping."""
    return [
        Trial.of(config, depth=depth, connection=connection, norm=norm, survival=survival, drop=drop, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for depth in config.depths
        for survival in config.survival
        for drop in (config.drop[:1] if survival == "none" else config.drop)
        for seed in range(config.seeds)
    ]


def rows(bench, trial: Trial, config: Config):
    """Trains it; the steps are timed."""
    network = lab.plan.plan(trial).network
    dropping = network.stochastic_depth
    expected = sum(dropping.survival) if dropping else float(network.length)
    row = bench.train(trial) | {"blocks": network.length, "expected_blocks": expected}
    yield "results", row
    yield "timings", row


def summary(tables):
    """Depths and schedules down, ways of dropping across."""
    shown = tables["results"].pivot_table("test_accuracy", ["depth", "survival"], "drop", sort=False)
    return shown.reset_index(), "held-out accuracy, mean over seeds"


def draw(tables, canvas):
    """Held-out error (left) and time of a step (right) against the expected share of live blocks, a colour a depth."""
    results = tables["results"]
    timings = tables["timings"]
    with canvas.figure(panels=2, height=3.0, note="a marker: a network") as (left, right):
        color = lab.figures.colors(sorted(results["depth"]))
        marker = lab.figures.markers(results["drop"])
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
        lab.figures.legend((left, right), columns=4)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, timed=True, tuned=True)

if __name__ == "__main__":
    STUDY.main()
