"""Networks of equal size: the parameters that one has at a width, and the width at which it has so many."""

import bisect
import contextlib
import dataclasses
import functools

import jax

from resjax.cost import parameter_count
from resjax.lab import building, plan
from resjax.lab.trial import Trial, program
from resjax.system.errors import UserError

WIDTHS = 4096  # those that are looked through


@functools.cache
def count(trial: Trial, width: int) -> int:
    """The parameters of the trial's network at this width.

    Raises:
      UserError: a width that its architecture cannot have.
    """
    dataset = plan.load(trial)
    sized = dataclasses.replace(trial, width=width)
    network = building.network(sized, dataset.classes)
    with building.refusing(sized):
        params, _ = jax.eval_shape(network.init, jax.random.key(0), dataset.inputs(1))
    return parameter_count(params)


def widest(trial: Trial, parameters: int) -> int:
    """The largest width at which the trial's network has at most so many parameters; 0 if it has more at all.

    Raises:
      UserError: no width makes a network of it.
    """
    below, _ = _around(trial, parameters, WIDTHS)
    return below


def nearest(trial: Trial, parameters: int) -> int:
    """The width, of at most twice the trial's, at which its network has the parameters that are nearest to so many.

    Raises:
      UserError: no width makes a network of it.
    """
    most = 2 * trial.width
    possible = [width for width in _around(trial, parameters, most) if 0 < width <= most]
    return min(possible, key=lambda width: abs(count(trial, width) - parameters))


def as_large_as(other: Trial, trial: Trial) -> Trial:
    """The trial with the width at which its parameters are nearest to those of the other."""
    like = program(trial)  # which seeds and rates share
    return dataclasses.replace(trial, width=nearest(like, count(program(other), other.width)))


def _around(trial: Trial, parameters: int, most: int) -> tuple[int, int]:
    """The largest width, to `most`, with no more parameters than these, and the next that can be."""
    unit = _unit(trial)
    widths = range(unit, most + 1, unit)
    below = unit * bisect.bisect_right(widths, parameters, key=functools.partial(count, trial))
    return below, below + unit


def _unit(trial: Trial) -> int:
    """The least width, of which the others are multiples: attention splits it among heads, and rotates pairs."""
    for width in range(1, trial.width + 1):
        with contextlib.suppress(UserError):
            count(trial, width)
            return width
    return 1  # where it cannot be built either, which says why
