"""From a trial to what the report says of it (see `resjax.reporting`)."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from resjax.cost import forward_flops
from resjax.lab import building, plan, wide_limit
from resjax.lab.tables import records
from resjax.lab.trial import Start, Trial
from resjax.reporting import learned, start
from resjax.reporting.start import SIGNALS

RUNGS = 3  # depths that are trained
THEORY = {  # of the signals: the column of theory's line
    "activation_mean_square": "activation_theory",
    "gradient_mean_square": "gradient_theory",
    "input_cosine": "cosine_theory",
    "token_cosine": "token_theory",
}


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


def ladder(trial: Trial, rungs: int) -> list[int]:
    """So many depths that its network can have, evenly in the logarithm from a hundredth of its depth up to it."""
    possible = np.array(building.depths(trial))
    wanted = np.geomspace(trial.depth / 100, trial.depth, rungs) if rungs > 1 else [trial.depth]
    nearest = {int(possible[np.abs(np.log(possible / depth)).argmin()]) for depth in wanted}
    return sorted(nearest)


def by_block(seen: Mapping[str, Any], depth: int) -> list[dict[str, Any]]:
    """A row a block: its place in weighted layers, and its signals."""
    length = len(seen["activation_mean_square"])
    a_block = (depth - 2) / length
    return records({"layer": [1 + round(place * a_block) for place in range(length)]} | {n: seen[n] for n in SIGNALS})


def signals(trial: Trial, seen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`by_block`, and theory's lines where there are some."""
    table = pd.DataFrame(by_block(seen, trial.depth))
    options = Start.of(trial, inputs=tuple(seen["shape"]))
    family = table.assign(**{name: getattr(trial, name) for name in ("connection", "norm", "initializer", "depth")})
    for quantity, column in THEORY.items():
        line = wide_limit.line(options, family, quantity) if family[quantity].notna().any() else None
        table[column] = math.nan if line is None else line
    return table.to_dict("records")


def name(trial: Trial) -> str:
    """What a network is called: its own block or branch, its connection and norm, its order if it is not the usual."""
    usual = Trial(network=trial.network)
    own = [text for text in (trial.block, trial.branch) if ":" in text]
    order = [trial.order] if trial.order != usual.order else []
    initial = [trial.initializer] if trial.initializer != usual.initializer else []
    return ", ".join([*own, trial.connection, *([] if trial.block else [trial.norm]), *order, *initial])


def verdicts(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A sentence on each network that was asked for."""
    asked = tables["results"].query("not beside")
    return [verdict(row) for row in asked.to_dict("records")]


def verdict(row: Mapping[str, Any]) -> str:
    """A sentence on a row of the results."""
    trains = "trains" if row["trains"] else "does not train"
    share = f"it learns {100 * row['share']:.0f} % of what there is to learn"
    return f"{row['subject']} {trains} at depth {row['depth']}: {share}."
