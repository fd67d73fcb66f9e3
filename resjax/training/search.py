"""Searches among training runs: for the best learning rate, and with few runs for the deepest network that trains."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


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


def best_rate(results: Mapping[float, Sequence[Mapping[str, Any]]]) -> float:
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
