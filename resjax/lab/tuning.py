"""Each family at its best: of the learning rates given, the one with the least training loss over the seeds."""

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from resjax.lab.config import ALL, Tuning
from resjax.lab.tables import columns
from resjax.lab.trial import Trial, by_seed
from resjax.training import search

if TYPE_CHECKING:
    from resjax.lab.bench import Bench

RATES = columns(  # the table of all that was tried
    *("depth", "connection", "norm", "width", "seed", "learning_rate", "steps", "train_loss", "train_accuracy"),
    *("test_accuracy", "diverged", "chosen"),
)


class Tuned(NamedTuple):
    """A trial with the best rate, and all that was tried for its seed."""

    trial: Trial
    at_edge: bool
    tried: list[dict[str, Any]]  # rows of RATES


class Dealt(Exception):
    """The networks of this trial that a shard was dealt are trained; which rate is the best, other shards know, too."""


def tuned(bench: "Bench", trial: Trial, config: Tuning) -> Tuned:
    """Trains the networks of all seeds at all rates, and chooses; nothing is trained for one rate alone.

    The best rate is the one that `search.best_rate` finds: the test images have no say. Networks that train together
    (`num_seeds`) are judged together.

    Raises:
      Busy: another process is at work on one of them; all others are done then.
      Dealt: this is a shard.
    """
    rates = config.rates
    if len(rates) == 1:
        return Tuned(dataclasses.replace(trial, learning_rate=rates[0]), True, [])
    if getattr(config, "shard", "") not in ("", ALL):
        bench.train_all(dataclasses.replace(trial, learning_rate=rate) for rate in rates)
        raise Dealt
    seeds = [trial.seed] if trial.num_seeds else range(getattr(config, "seeds", 1))
    networks = {
        (rate, seed): dataclasses.replace(trial, learning_rate=rate, seed=seed) for rate in rates for seed in seeds
    }
    found = dict(zip(networks, bench.train_all(networks.values()), strict=True))
    best = search.best_rate(
        {rate: [row for seed in seeds for row in by_seed(trial, found[rate, seed])] for rate in rates}
    )
    rows = [
        dataclasses.asdict(networks[rate, trial.seed]) | row | {"chosen": rate == best}
        for rate in rates
        for row in by_seed(trial, found[rate, trial.seed])
    ]
    return Tuned(networks[best, trial.seed], best in (rates[0], rates[-1]), rows)
