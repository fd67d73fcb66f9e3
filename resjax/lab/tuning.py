"""Each family at its best: of the learning rates given, the one with the least training loss over the seeds."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resjax.lab.config import Tuning
from resjax.lab.tables import columns
from resjax.lab.trial import Trial, by_seed

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


def tuned(bench: "Bench", trial: Trial, config: Tuning) -> Tuned:
    """Trains the networks of all seeds at all rates, and chooses; nothing is trained for one rate alone.

    The best rate is the one that `choose` finds: the test images have no say. Networks that train together
    (`num_seeds`) are judged together.

    Raises:
      Busy: another process is at work on one of them; all others are done then.
    """
    rates = config.rates
    if len(rates) == 1:
        return Tuned(dataclasses.replace(trial, learning_rate=rates[0]), True, [])
    seeds = [trial.seed] if trial.num_seeds else range(getattr(config, "seeds", 1))
    networks = {
        (rate, seed): dataclasses.replace(trial, learning_rate=rate, seed=seed) for rate in rates for seed in seeds
    }
    found = dict(zip(networks, bench.train_all(networks.values()), strict=True))
    best = choose({rate: [row for seed in seeds for row in by_seed(trial, found[rate, seed])] for rate in rates})
    rows = [
        dataclasses.asdict(networks[rate, trial.seed]) | row | {"chosen": rate == best}
        for rate in rates
        for row in by_seed(trial, found[rate, trial.seed])
    ]
    return Tuned(networks[best, trial.seed], best in (rates[0], rates[-1]), rows)


def choose(results: Mapping[float, Sequence[Mapping[str, Any]]]) -> float:
    """The best rate, by the `steps` and `train_loss` of its networks, nan where one diverged.

    It is that at which the fewest diverge; then that of the fewest steps, where training ends at a goal; then that of
    the least loss, both in the mean over those that do not diverge; then the smallest.
    """

    def badness(rate: float) -> tuple[int, float, float]:
        sound = [own for own in results[rate] if math.isfinite(own["train_loss"])]
        if not sound:
            return len(results[rate]), math.inf, math.inf
        steps, loss = (float(np.mean([own[name] for own in sound])) for name in ("steps", "train_loss"))
        return len(results[rate]) - len(sound), steps, loss

    return min(sorted(results), key=badness)
