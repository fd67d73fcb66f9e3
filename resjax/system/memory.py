"""How much memory there is, so that what cannot fit is refused before XLA ends the process over it."""

import contextlib
import math
import os
import pathlib
import resource
from typing import Any

import jax

GROUPS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"  # of a container, on Linux


def there(devices: int = 1) -> float:
    """Bytes that so many devices have, of a CPU the machine, the container or the process; infinite if nobody says."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return min(_machine(), _process(), *map(_limit, GROUPS))
    with contextlib.suppress(RuntimeError, NotImplementedError):  # of a kind of device that does not say
        return devices * float((device.memory_stats() or {}).get("bytes_limit", math.inf))
    return math.inf


def check(needed: int, what: str, devices: int = 1) -> None:
    """Refuses what needs more bytes than so many devices have.

    Raises:
      ValueError: it does; the line says how large it is and what is there.
    """
    found = there(devices)
    if needed > found:
        raise ValueError(f"{what} needs {size(needed)} of memory or more, and there are {size(found)}")


def bytes_of(tree: Any) -> int:
    """Bytes of the leaves of a tree of arrays, or of their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def size(bytes_: float) -> str:
    """Bytes for reading, as 1.5 GiB."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    unit = min(int(math.log2(max(bytes_, 1)) // 10), len(units) - 1)
    return f"{bytes_ / 1024**unit:.3g} {units[unit]}"


def _machine() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # not on every system
        return math.inf


def _process() -> float:
    """What a process may have (`ulimit -d`)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return math.inf if soft == resource.RLIM_INFINITY else float(soft)


def _limit(path: str) -> float:
    with contextlib.suppress(OSError, ValueError):
        return float(pathlib.Path(path).read_text())  # or the word max
    return math.inf
