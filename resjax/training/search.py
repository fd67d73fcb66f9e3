"""Searches with few training runs: for the deepest network that trains, and for the largest and the best rate."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from resjax.training.rate_trial import Trial


def frontier(trains: Callable[[float], bool], depths: Sequence[float], precision: float) -> float:
    """The largest of `depths`, or of any other numbers, for which `trains(depth)` holds, to within `precision`.

    Grows fourfold from the smallest depth, then bisects in the logarithm. `trains` is called O(log(depths)) times and
    taken to be true below the frontier and false above.

    Args:
      trains: what is called with one of `depths`, with none twice.
      depths: in rising order.
      precision: relative; 0 for the very one.

    Returns:
      One of `depths`; 0 if `trains` does not hold for the first.
    """
    good = -1  # places in `depths` known, or taken, to train and not to train
    bad = len(depths)
    place = 0
    while good < place < bad:
        good, bad = (place, bad) if trains(depths[place]) else (good, place)
        if bad == len(depths):
            place = min(4 * (place + 1) - 1, len(depths) - 1)
        elif good >= 0 and depths[bad] > (1 + precision) * depths[good]:
            place = round(((good + 1) * (bad + 1)) ** 0.5) - 1
            place = min(max(place, good + 1), bad - 1)
        else:
            break
    return depths[good] if good >= 0 else 0


class Rates(NamedTuple):
    """What `stable_rates` found."""

    largest: float  # that does not diverge; 0 if every one did
    diverging: Trial | None  # of the rate above it; None if it is the last
    best: Trial | None  # of those that did not diverge, by its last loss
    tried: list[Trial]  # in the order in which they ran


def stable_rates(run: Callable[[float], Trial], rates: Sequence[float], below: int) -> Rates:
    """The largest learning rate that does not diverge, and the best one of those tried.

    Args:
      run: trains at one of `rates`; it is called with none twice.
      rates: in rising order. Those below the largest stable one are taken to be stable.
      below: so many rates below the largest stable one are tried, too.
    """
    tried = {}

    def at(rate: float) -> Trial:
        if rate not in tried:
            tried[rate] = run(rate)
        return tried[rate]

    largest = frontier(lambda rate: not at(rate).diverged, rates, precision=0.0)
    place = rates.index(largest) if largest else -1
    for rate in rates[max(0, place - below) : place]:
        at(rate)
    diverging = at(rates[place + 1]) if place + 1 < len(rates) else None
    trained = [trial for trial in tried.values() if not trial.diverged]
    best = min(trained, key=lambda trial: trial.last_loss, default=None)
    return Rates(largest, diverging, best, list(tried.values()))
