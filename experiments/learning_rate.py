"""How large may the learning rate be, and does the best one stay the best in a deeper network?

    python -m experiments.learning_rate
    python -m experiments.learning_rate --optimizer=adam --largest=1 --connections='scaled(power=0.5),scaled(power=1)'

For every connection × norm × depth × seed: bisects for the largest learning rate that does not diverge,
to within `factor`, then tries smaller ones, each `factor` below the last, for the best. A run diverges
if its loss stops being finite or ends at more than twice the first. Figure: largest and best rate against
depth. For Adam, Depth-μP (branches over √L) has the best rate fall as 1/√L and CompleteP (branches over
L) has it constant (Dey et al. 2025, arXiv 2505.01618): these lines are drawn from the first depth on.

Three minutes on 2 CPU cores. With skips and batch norm, and with branches over √L or L, rates of 1 to 6 are stable at
all depths but for 0.8 (1/√L, no norm) at 128; with skips alone 0.4 at 8 layers, 0.0015 at 32, none down to 10⁻⁶ at
128. The best rates of those with skips and batch norm, or with scaled branches, move by at most a factor of four.
"""

import dataclasses
import itertools
import math
import pathlib

import numpy as np

import resjax
from resjax.lab.config import Optimization, Point, Running, option
from resjax.system.errors import UserError

KEY = {"connection": "str", "norm": "str", "optimizer": "str", "depth": "int64", "seed": "int64"}
RESULTS = KEY | {
    "largest_rate": "float64",  # that does not diverge; 0 if every one did
    "diverging_rate": "float64",  # the smallest one known to diverge; empty if none did
    "gradient_norm_start": "float64",  # of all parameters, at the first step
    "gradient_norm": "float64",  # at the last step with a finite one, under the smallest diverging rate
    "diverged_step": "Int64",  # the first whose loss was not finite, under that rate; empty if all were
    "best_rate": "float64",  # of those tried
    "best_loss": "float64",
}
LAST = 5  # steps whose mean loss is where a run ends
TRIALS = KEY | {"rate": "float64", "first_loss": "float64", "last_loss": "float64", "diverged": "bool"}


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched for."""

    largest: float = option(100.0, "the largest rate tried", minimum=0)
    smallest: float = option(1e-6, "the smallest rate tried, where the search starts", minimum=1e-30)
    factor: float = option(2.0, "to within which the largest rate is found", minimum=1.01)
    below: int = option(5, "how many smaller rates are tried for the best one", minimum=0)


@dataclasses.dataclass(frozen=True)
class Config(Running, Search, Optimization):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((8, 32, 128), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(
        ("plain", "residual", "scaled(power=0.5)", "scaled(power=1)", "rezero"), "connections, as in depth_scaling"
    )
    norms: tuple[str, ...] = option(("none", "batch"), "normalisations, as in depth_scaling")
    learning_rate: float = option(1.0, "a factor on all rates tried", minimum=0)
    steps: int = option(40, "steps of each run", minimum=LAST)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


@dataclasses.dataclass(frozen=True)
class Searched(Point, Search):
    """One network and what is searched for."""


def run(config: Config):
    """Searches for every rate that is not known yet, then writes the tables and the figure."""
    if config.smallest >= config.largest:
        raise UserError(f"--smallest={config.smallest}: must be less than --largest={config.largest}")
    todo = [
        Searched.of(config, connection=connection, norm=norm, depth=depth, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for depth in config.depths
        for seed in range(config.seeds)
    ]
    for point in todo:
        resjax.lab.plan.plan(point)
    work = resjax.lab.workdir.WorkDirectory.open("learning_rate", config, {"results": RESULTS, "trials": TRIALS})
    if not config.plot_only:
        with resjax.lab.session.session(work, total=len(todo)) as session:
            found = [(dataclasses.asdict(point), session.measure(point, search)) for point in todo]
        work.write_table("results", [point | result["row"] for point, result in found])
        work.write_table("trials", [point | trial for point, result in found for trial in result["trials"]])
    results = work.read_table("results")
    plot(config, results, work.path / "figure")
    shown = results.pivot_table("largest_rate", ["connection", "norm"], "depth", sort=False, dropna=False)
    resjax.lab.session.show(shown.dropna(how="all").reset_index(), title="largest stable learning rate")
    print(f"tables: {work.path / 'results.csv'}, trials.csv\nfigure: {work.path / 'figure.png'}")


def search(point: Searched) -> dict:
    """The row of one network, and all its trials; the rates are powers of `factor`, below `largest`."""
    from experiments import depth_frontier
    from experiments.learning_rate_trial import Trials

    count = int(math.log(point.largest / point.smallest) / math.log(point.factor) + 1e-9)
    rates = [point.learning_rate * point.largest / point.factor**place for place in range(count, -1, -1)]
    trials = Trials(point, LAST)
    largest = depth_frontier.search(lambda rate: not trials.at(rate)["diverged"], rates, precision=0.0)
    at = rates.index(largest) if largest else -1
    for rate in rates[max(0, at - point.below) : at]:
        trials.at(rate)
    worst = trials.at(rates[at + 1]) if at + 1 < len(rates) else None
    tried = list(trials.tried.values())
    trained = [trial for trial in tried if not trial["diverged"]]
    best = min(trained, key=lambda trial: trial["last_loss"], default={"rate": math.nan, "last_loss": math.nan})
    row = {
        "largest_rate": largest,
        "diverging_rate": worst and worst["rate"],
        "gradient_norm_start": tried[0]["gradient_norms"][0],
        "gradient_norm": worst and worst["gradient_norms"][-1],
        "diverged_step": worst and worst["diverged_step"],
        "best_rate": best["rate"],
        "best_loss": best["last_loss"],
    }
    return {"row": row, "trials": [{k: v for k, v in trial.items() if k != "gradient_norms"} for trial in tried]}


def plot(config: Config, results, path: pathlib.Path):
    """Largest (left) and best rate (right) against depth; powers of depth that theory has for branches over L^a."""
    color = dict(zip(results["connection"].unique(), itertools.cycle(resjax.lab.figures.COLORS), strict=False))
    style = dict(zip(results["norm"].unique(), itertools.cycle(("-", "--", ":", "-.")), strict=False))
    with resjax.lab.figures.figure(path, panels=2, height=3.0, sharey=True) as axes:
        for axis, quantity in zip(axes, ("largest_rate", "best_rate"), strict=True):
            for (connection, norm), rows in results.groupby(["connection", "norm"], sort=False):
                by_depth = np.log(rows[quantity].where(rows[quantity] > 0)).groupby(rows["depth"])
                label = f"{connection}, {norm}"
                mean = np.exp(by_depth.mean())
                axis.plot(mean, style[norm], marker="o", color=color[connection], label=label)
                power = resjax.lab.names.parse(connection, "connection")[1].get("power")
                if quantity == "best_rate" and power and config.optimizer.startswith("adam"):
                    line = mean.iloc[0] * (mean.index / mean.index[0]) ** (power - 1)
                    axis.plot(mean.index, line, "k:", linewidth=0.8, label="Depth-μP, CompleteP")
            axis.set(xscale="log", yscale="log", xlabel="depth (weighted layers)")
            axis.set_xticks(sorted(set(results["depth"])), labels=map(str, sorted(set(results["depth"]))))
            axis.minorticks_off()
        axes[0].set(ylabel="largest stable learning rate")
        axes[1].set(ylabel=f"best learning rate, {config.steps} steps")
        resjax.lab.figures.legend(axes, columns=3)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
