"""A device whose memory a network exhausts: what was asked for, and which of its options ask for less."""

import contextlib
import math
import re
from collections.abc import Iterator
from typing import Any

import jax

from resjax.cost import parameter_count
from resjax.lab.plan import plan
from resjax.lab.tables import MEASURES, NO_STEP
from resjax.lab.trial import Trial
from resjax.system.errors import Failure
from resjax.system.memory import bytes_of, size

EXHAUSTED = re.compile("RESOURCE_EXHAUSTED|out.of.memory", re.IGNORECASE)  # in the message, which is all there is
ASKED = re.compile(
    r"allocat\w+ (?P<size>[\d.]+ ?(?P<unit>[KMGTP]?i?B)?)|Used (?P<used>[\d.]+[KMGTP]? of [\d.]+[KMGTP]?)"
)


def exhausted(error: Exception) -> bool:
    """Whether it is this error of the runtime's, `jax.errors.JaxRuntimeError`."""
    return bool(EXHAUSTED.search(str(error)))


@contextlib.contextmanager
def named(label: str) -> Iterator[None]:
    """Within this context, that memory is exhausted is a failure of what the label names.

    Raises:
      Failure: it was.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not exhausted(error):
            raise
        raise Failure(f"{label}: to measure it exhausts the device's memory, {asked(error)} asked for") from error


def asked(error: Exception) -> str:
    """How much was asked for, with its unit; or else what the runtime says."""
    match = ASKED.search(str(error))
    if not match:
        return str(error).splitlines()[0]
    if match["used"]:
        return match["used"]
    return match["size"] if match["unit"] else size(float(match["size"]))


def advice(trial: Trial, error: Exception) -> str:
    """One line: what was asked for, what weights and optimiser take of it, and what would ask for less."""
    less = {
        f"--batch_size={trial.batch_size // 2}": trial.batch_size >= 4,  # a batch of one has no statistics
        "--remat=nothing_saveable": trial.remat != "nothing_saveable",
        "--dtype=bfloat16": trial.dtype != "bfloat16",
        "--fsdp": jax.device_count() > 1 and not trial.fsdp,
        "fewer seeds together": trial.num_seeds > 1,
    }
    fixed = f"weights and optimiser: {size(_fixed_bytes(trial))}"
    chosen = ", ".join(name for name, helps in less.items() if helps) or "a smaller network"
    return f"the device's memory is exhausted, {asked(error)} asked for ({fixed}); less is needed with {chosen}"


def result(trial: Trial) -> dict[str, Any]:
    """What stands in the tables in place of a result (see `train.train`): no measures, diverged at `NO_STEP`."""
    one = dict.fromkeys(MEASURES, math.nan) | {"diverged": NO_STEP}
    count = trial.num_seeds
    measured: dict[str, Any] = {name: [value] * count for name, value in one.items()} if count else dict(one)
    times = dict.fromkeys(("first_step_seconds", "step_milliseconds", "total_seconds"), math.nan)
    return {"parameters": parameter_count(_weights(trial)), "steps": 0} | measured | times


def _weights(trial: Trial) -> Any:
    """The shapes of one network's parameters."""
    planned = plan(trial)
    return jax.eval_shape(planned.network.init, jax.random.key(0), planned.dataset.inputs(1))[0]


def _fixed_bytes(trial: Trial) -> int:
    """Bytes of weights, their gradient, and the optimiser's state, of all networks that train together."""
    weights = _weights(trial)
    state = jax.eval_shape(plan(trial).optimizer.build().init, weights)
    return max(1, trial.num_seeds) * bytes_of((weights, weights, state))
