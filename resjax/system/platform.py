"""Which devices there are to compute on, and how many cores."""

import os

import jax

from resjax.system.errors import UserError

HINT = " (set JAX_PLATFORMS"  # what JAX says next, which whoever has set it knows


def check() -> None:
    """Refuses a platform that is not here.

    Raises:
      UserError: JAX finds no device of the kind that `JAX_PLATFORMS` names.
    """
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:  # the first, without a word, for CUDA where no plugin is installed
        why = str(error).partition(HINT)[0] or "no such platform is installed here; leave it empty, or say cpu"
        raise UserError(f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}: {why}") from error


def cpu() -> jax.Device:
    """The CPU, as of which operations are counted, wherever they run.

    Raises:
      UserError: `JAX_PLATFORMS` leaves it out.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        value = os.environ.get("JAX_PLATFORMS", "")
        raise UserError(f"JAX_PLATFORMS={value}: say {value},cpu, for operations are counted as of a CPU") from error


def cores() -> set[int]:
    """The cores that this process may use; where the system does not say (macOS), all."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
