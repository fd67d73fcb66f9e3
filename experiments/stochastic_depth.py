"""May layers be dropped while a network trains: what does it gain, in error and in time?

    python -m experiments.stochastic_depth
    python -m experiments.stochastic_depth --dataset=mnist1d --depths=56 --steps=1000 \\
        --learning_rates=0.01,0.03,0.1,0.3 --seeds=5
    python -m experiments.stochastic_depth --preset=stochastic110_cifar10 --survival='none,linear(last=0.5)'
    python -m experiments.stochastic_depth --depths=56,1000 --drop=batch --survival='none,uniform(p=0.9)'

Trains every depth × schedule × way of dropping × seed (Huang et al. 2016, arXiv 1603.09382). Draws the error, and the
time of a step beside that of the full network and the share of the blocks that are expected to be live.

Found, with the second command, in 12 minutes on 2 CPU cores, five seeds, 95 % t intervals, each at its best rate: 56
residual layers err on 38.4 ± 2.4 % of the held-out curves of MNIST-1D. Dropping some blocks is a regulariser. The
linear schedule to 0.5, drawn for each example, takes 3.2 ± 1.1 points off, seed by seed; drawn for the batch it is not
told apart (1.6 ± 3.0), and no other schedule is seen to gain. To drop half of all blocks does harm, and to drop them
for a part of the batch, of which the linear schedule to 0.5 is not told apart (3.5 ± 3.8). Training errors rise with
all. What dropping saves in time is said by `benchmarks.throughput`.

On a text (`stochastic_depth_text`: transformers of 50 layers, 300 steps, three seeds) it gains nothing. The linear
schedule raises the training loss by 0.12 ± 0.04 nats when drawn for each example, and by 0.16 ± 0.08 for the batch, and
the held-out error is not told apart.

Not shown: larger images; other depths; the digits.
"""

import dataclasses

from resjax import lab
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import one_each, option
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
    connection, norm = one_each(config, "connections", "norms")
    return [
        Trial.of(config, depth=depth, connection=connection, norm=norm, survival=survival, drop=drop, seed=seed)
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
    results = tables["results"].assign(accuracy=tables["results"]["test_accuracy"].fillna(0))
    shown = results.pivot_table("accuracy", ["depth", "survival"], "drop", lab.statistics.plus_minus, sort=False)
    return shown.reset_index(), "held-out accuracy: mean ± 95 % t interval over the seeds"


def draw(tables, canvas):
    """Held-out error (left) and time of a step (right) of every schedule, a colour a way of dropping."""
    timings = tables["timings"]
    full = timings[timings["survival"] == "none"].groupby("depth")["step_milliseconds"].median()
    results = tables["results"].assign(
        error=100 * (1 - tables["results"]["test_accuracy"].fillna(0)),
        time=timings["step_milliseconds"] / timings["depth"].map(full),
        share=tables["results"]["expected_blocks"] / tables["results"]["blocks"],
    )
    schedules = list(dict.fromkeys(results["survival"]))
    color = lab.figures.colors(results["drop"])
    marker = lab.figures.markers(sorted(results["depth"]))
    kinds = list(dict.fromkeys(zip(results["depth"], results["drop"], strict=True)))
    note = "markers: means over the seeds; bars: 95 % t intervals"
    with canvas.figure(panels=2, height=1.2 + 0.35 * len(schedules), sharey=True, note=note) as axes:
        for (depth, drop, survival), rows in results.groupby(["depth", "drop", "survival"], sort=False):
            place = schedules.index(survival) + 0.6 * ((kinds.index((depth, drop)) + 0.5) / len(kinds) - 0.5)
            for axis, name in zip(axes, ("error", "time"), strict=True):
                label = f"{depth} layers, {drop}" if survival == schedules[-1] else None
                lab.figures.across(axis, place, rows[name], marker[depth], color=color[drop], label=label)
        for place, name in enumerate(schedules):
            share = results[results["survival"] == name]["share"].mean()
            axes[1].plot(
                [share, share], [place - 0.4, place + 0.4], "k:", label=None if place else "as its live blocks"
            )
        axes[0].set(xlabel="held-out error (%)", yticks=range(len(schedules)), yticklabels=schedules)
        axes[1].set(xlabel="time of a step / the full network's", xlim=(0, None))
        axes[0].invert_yaxis()
        lab.legends.legend(axes, columns=4)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, timed=True, tuned=True)

if __name__ == "__main__":
    STUDY.main()
