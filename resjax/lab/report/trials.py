"""From a trial to what the report says of it (see `resjax.reporting`)."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from resjax.cost import forward_flops
from resjax.lab import building, plan, wide_limit
from resjax.lab.trial import Start, Trial
from resjax.reporting import calibrated, learned, start, trained
from resjax.reporting.asked import PLACES, SIGNALS, THEORY
from resjax.reporting.assess import FAILS, OPEN, TRAINS
from resjax.reporting.calibrated import LIMITS
from resjax.reporting.limits import BAD

VARIED = "branch", "order", "initializer", "activation"  # which the networks compared with have as usual


def read(trial: Trial) -> dict[str, Any]:
    """What is seen of its network before any training, for inputs like those of its data set.

    Returns:
      What `start.read` returns; the shape of an input; flops, of a forward pass of one; and constant_loss, see
      `learned.constant_loss`.
    """
    planned = plan.plan(trial)
    one, _ = planned.dataset.train.example
    seen = start.read(planned.network, one, planned.dataset.classes, jax.random.key(trial.seed))
    flops = forward_flops(planned.network, planned.dataset.inputs(1))
    constant = learned.constant_loss(planned.dataset.train)
    return seen | {"shape": list(one.shape), "flops": flops, "constant_loss": constant}


def look(trial: Trial, snapshot: Any) -> dict[str, float]:
    """What is seen of its trained network, on the first examples (see `trained.read`)."""
    x, labels = next(snapshot.data.train.all(trained.EXAMPLES))
    place = snapshot.network, snapshot.params, snapshot.state
    return trained.read(*place, x, labels, jax.random.key(trial.seed))


def memory(trial: Trial) -> dict[str, int]:
    """memory, the bytes of a training step on one device: weights, momenta, data, and what is kept for the way back."""
    analysis = plan.compiled_step(trial).memory_analysis()
    return {"memory": int(analysis.argument_size_in_bytes + analysis.temp_size_in_bytes)}


def ladder(trial: Trial, rungs: int) -> list[int]:
    """So many depths that its network can have, evenly in the logarithm from a hundredth of its depth up to it."""
    possible = np.array(building.depths(trial))
    wanted = np.geomspace(trial.depth / 100, trial.depth, rungs) if rungs > 1 else [trial.depth]
    nearest = {int(possible[np.abs(np.log(possible / depth)).argmin()]) for depth in wanted}
    return sorted(nearest)


def by_block(seen: Mapping[str, Any], depth: int) -> pd.DataFrame:
    """A row a block: its place in weighted layers, and its signals."""
    length = len(seen["activation_mean_square"])
    layers = [1 + round(place * (depth - 2) / length) for place in range(length)]
    return pd.DataFrame({"layer": layers} | {name: seen[name] for name in SIGNALS})


def signals(trial: Trial, seen: Mapping[str, Any]) -> pd.DataFrame:
    """`by_block`, and theory's lines where there are some."""
    table = by_block(seen, trial.depth)
    options = Start.of(trial, inputs=tuple(seen["shape"]))
    family = table.assign(**{name: getattr(trial, name) for name in ("connection", "norm", "initializer", "depth")})
    for quantity, column in THEORY.items():
        line = wide_limit.line(options, family, quantity) if family[quantity].notna().any() else None
        table[column] = math.nan if line is None else line
    return table


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of at most `PLACES` blocks, spread evenly."""
    places = np.linspace(0, len(table) - 1, min(len(table), PLACES)).round().astype(int)
    return table.iloc[places].to_dict("records")


def name(trial: Trial) -> str:
    """What a network is called: its own block, its connection and norm, and what else is not the usual."""
    usual = Trial(network=trial.network)
    body = [trial.block] if trial.block else []
    norm = [] if trial.block else [trial.norm]
    others = (getattr(trial, each) for each in VARIED if getattr(trial, each) != getattr(usual, each))
    return ", ".join([*body, trial.connection, *norm, *others])


def verdicts(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A sentence on each network that was asked for, and one on what its start alone said."""
    checks = tables["checks"]
    asked = tables["results"].query("not beside").to_dict("records")
    return [verdict(row, checks[checks["subject"] == row["subject"]]) for row in asked]


def verdict(row: Mapping[str, Any], checks: pd.DataFrame) -> str:
    """The same of a row of the results and the checks of its network."""
    trains = "trains" if row["trains"] else "does not train"
    learned_share = checks.set_index("check")["shown"]["learned"]
    bad = checks[checks["check"].isin(LIMITS) & (checks["status"] == BAD)]
    seen = "; ".join(f"{check}: {shown}" for check, shown in zip(bad["check"], bad["shown"], strict=True))
    start_said = {
        TRAINS: "Its start alone said so.",
        FAILS: f"Its start alone said so ({seen}).",
        OPEN: "Its start alone could not tell.",
    }[row["told"]]
    if row["told"] == (FAILS if row["trains"] else TRAINS):
        start_said = f"Its start alone said the opposite{f' ({seen})' if seen else ''}."
    share = f"it learns {learned_share} of what there is to learn"
    return f"{row['subject']} {trains} at depth {row['depth']}: {share}. {start_said}"


def accuracy() -> str:
    """How far what a start says is to be trusted."""
    networks = calibrated.RIGHT + calibrated.WRONG + calibrated.OPEN
    return (
        f"Of {networks} dense networks of {calibrated.DEPTH} layers the start alone told {calibrated.RIGHT} right and "
        f"{calibrated.WRONG} wrong, and left {calibrated.OPEN} open; limits that one half chose judged the other."
    )
