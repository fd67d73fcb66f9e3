"""A search, with few training runs, for the deepest network that trains."""

from collections.abc import Callable, Sequence


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
