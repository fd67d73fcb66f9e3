"""How large may the learning rate be, and does the best one stay the best in a deeper network?

    python -m experiments.learning_rate
    python -m experiments.learning_rate --optimizer=adam --largest=1 --connections='scaled(power=0.5),scaled(power=1)'

For every connection × norm × depth × seed: bisects for the largest learning rate that does not diverge, to within
`factor`, then tries smaller ones, each `factor` below the last, for the best. A run diverges if its loss stops being
finite or ends at more than twice the first. For Adam, Depth-μP (branches over √L) has the best rate fall as 1/√L, and
CompleteP (branches over L) has it constant (Dey et al. 2025, arXiv 2505.01618); lines from the first depth on.

Found, in three minutes on 2 CPU cores: with skips and batch norm, and with branches over √L or L, rates of 1 to 6
are stable at all depths but for 0.8 (1/√L, no norm) at 128. With skips alone they are 0.4 at 8 layers and 0.0015 at
32; at 128 none is, down to 10⁻⁶. The best rates of those with skips and batch norm move by a factor of four at most.

Not shown: whether what is stable, or best, for 40 steps is so for longer training. One seed, without a schedule.
"""

import dataclasses
import functools
import math

import numpy as np

from resjax import lab, training
from resjax.lab.config import Optimization, Running
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, truth, whole
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

KEY = columns("connection", "norm", "optimizer", "depth", "seed")
TABLES = {
    "results": KEY | columns(
        largest_rate=number("that does not diverge; 0 if every one did"),
        diverging_rate=number("the smallest one known to diverge; empty if none did"),
        gradient_norm_start=number("of all parameters, at the first step"),
        gradient_norm=number("at the last step with a finite one, under the smallest diverging rate"),
        diverged_step=whole("the first whose loss was not finite, under that rate; empty if all were", optional=True),
        best_rate=number("of those tried, by the last loss; empty if every one diverged"),
        best_loss=number("its last loss"),
    ),
    "trials": KEY | columns(
        rate=number("learning rate of the run"),
        first_loss=number("of the first step's batch, in nats"),
        last_loss=number("mean over the last five steps; empty if it stopped being finite"),
        diverged=truth("whether the loss stopped being finite, or ended at more than twice the first"),
    ),
}  # fmt: skip
SHOWN = {"largest_rate": "largest stable learning rate", "best_rate": "best learning rate"}


@dataclasses.dataclass(frozen=True)
class Config(Running, Optimization):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((8, 32, 128), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(
        ("plain", "residual", "scaled(power=0.5)", "scaled(power=1)", "rezero"), "connections, as in depth_scaling"
    )
    norms: tuple[str, ...] = option(("none", "batch"), "normalisations, as in depth_scaling")
    largest: float = option(100.0, "the largest rate tried", minimum=0)
    smallest: float = option(1e-6, "the smallest rate tried, where the search starts", minimum=1e-30)
    factor: float = option(2.0, "to within which the largest rate is found", minimum=1.01)
    below: int = option(5, "how many smaller rates are tried for the best one", minimum=0)
    learning_rate: float = option(1.0, "a factor on all rates tried", minimum=0)
    steps: int = option(40, "steps of each run; it ends at the mean loss of the last five", minimum=5)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks whose rates are searched for."""
    return [
        Trial.of(config, connection=connection, norm=norm, depth=depth, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for depth in config.depths
        for seed in range(config.seeds)
    ]


def refuse(trial: Trial, config: Config):
    """Raises UserError: the network cannot be, or there are no rates to try."""
    if config.smallest >= config.largest:
        raise UserError(f"--smallest={config.smallest}: must be less than --largest={config.largest}")
    lab.plan.plan(trial)


def rows(bench, trial: Trial, config: Config):
    """What the search of one network found, and a row a run."""
    limits = {"largest": config.largest, "smallest": config.smallest, "factor": config.factor}
    found = bench.once(search, trial, below=config.below, **limits)
    yield "results", found["row"]
    yield from (("trials", run) for run in found["trials"])


def search(trial: Trial, largest: float, smallest: float, factor: float, below: int) -> dict:
    """The row of one network, and all its runs; the rates are powers of `factor`, below `largest`."""
    count = int(math.log(largest / smallest) / math.log(factor) + 1e-9)
    rates = [trial.learning_rate * largest / factor**place for place in range(count, -1, -1)]
    network, optimizer, dataset = lab.plan.plan(trial)
    run = functools.partial(
        training.rate_trial.run, network, dataclasses.replace(optimizer, learning_rate=1.0).build(), dataset.train,
        steps=trial.steps, batch_size=trial.batch_size, key=training.step.keys_of(trial.seed),
        augmentations=lab.plan.augmentations(trial, dataset),
    )  # fmt: skip
    found = training.search.stable_rates(run, rates, below)
    above = found.diverging
    row = {
        "largest_rate": found.largest,
        "diverging_rate": above and above.rate,
        "gradient_norm_start": found.tried[0].gradient_norms[0],
        "gradient_norm": above and above.gradient_norms[-1],
        "diverged_step": above and above.diverged_step,
        "best_rate": found.best and found.best.rate,
        "best_loss": found.best and found.best.last_loss,
    }
    return {"row": row, "trials": [dataclasses.asdict(tried) for tried in found.tried]}


def summary(tables):
    """Families down, depths across."""
    shown = tables["results"].pivot_table("largest_rate", ["connection", "norm"], "depth", sort=False, dropna=False)
    return shown.dropna(how="all").reset_index(), "largest stable learning rate"


def draw(tables, canvas):
    """Largest (left) and best rate (right) against depth; powers of depth that theory has for branches over L^a."""
    results = tables["results"]
    color = lab.figures.colors(results["connection"])
    style = lab.figures.styles(results["norm"])
    with canvas.figure(panels=2, height=3.0, note="lines: geometric means over the seeds", sharey=True) as axes:
        for axis, (quantity, label) in zip(axes, SHOWN.items(), strict=True):
            for (connection, norm), found in results.groupby(["connection", "norm"], sort=False):
                mean = np.exp(np.log(found[quantity].where(found[quantity] > 0)).groupby(found["depth"]).mean())
                axis.plot(mean, style[norm], marker="o", color=color[connection], label=f"{connection}, {norm}")
                power = lab.names.parse(connection, "connection")[1].get("power")
                if quantity == "best_rate" and power and found["optimizer"].iloc[0].startswith("adam"):
                    line = mean.iloc[0] * (mean.index / mean.index[0]) ** (power - 1)
                    axis.plot(mean.index, line, "k:", linewidth=0.8, label="Depth-μP, CompleteP")
            axis.set(yscale="log", xlabel="depth (weighted layers)", ylabel=label)
            lab.figures.log_ticks(axis, results["depth"])
        lab.figures.legend(axes, columns=3)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, refuse)

if __name__ == "__main__":
    STUDY.main()
