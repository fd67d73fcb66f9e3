"""The rows of `accelerator`, in order of worth, for a run that may end before the last of them."""

import dataclasses
import importlib.util
from collections.abc import Iterator

import jax

from benchmarks import device_networks as networks
from benchmarks.device_cases import Case, Product, Torch, label
from benchmarks.device_networks import Size
from benchmarks.others import linen

DTYPES = ("float32", "bfloat16")
POLICIES = ("nothing_saveable", "dots_with_no_batch_dims_saveable", "dots_saveable", "")
TIME = "step_milliseconds"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A row of the table."""

    group: str
    case: Case
    of: str = ""  # the column whose ratio to that of another case is taken
    to: Case | None = None

    @property
    def label(self) -> str:
        """What the messages call it."""
        return f"{self.group}: {label(self.case)}"


def planned(size: Size, groups: tuple[str, ...]) -> list[Measurement]:
    """The rows of these groups, without PyTorch's where it cannot be compared, of which one line is printed."""
    found = [row for row in _rows(size) if row.group in groups]
    missing = _no_torch()
    if missing and any(row.group == "torch" for row in found):
        print(missing, flush=True)
        found = [row for row in found if row.group != "torch"]
    return found


def _rows(size: Size) -> Iterator[Measurement]:
    yield from (Measurement("matrix", Product(size.matrix, dtype)) for dtype in DTYPES)
    for network in (networks.resnet, networks.transformer, networks.wide, networks.dense):
        yield from (Measurement("step", network(size, dtype=dtype)) for dtype in DTYPES)
    yield from _torch(networks.torch_resnet(size, "float32"))
    for network in (networks.dense, networks.resnet):
        yield from _compared("memory", "temporary_mib", *(network(size, remat=remat) for remat in POLICIES))
    yield from _compared("seeds", TIME, *(networks.together(size, count) for count in (0, *size.seeds)))
    shallow = size.resnet[1]
    batch = networks.resnet(size, shallow, fixed=True, variant="one batch")
    drawn = networks.resnet(size, shallow, variant="augmented", augment=("crop(pad=4)", "flip"))
    yield from _compared("input", TIME, batch, drawn)
    for network, (_, shallow) in ((networks.dense, size.dense), (networks.transformer, size.transformer)):
        yield from _compared("compile", "compile_seconds", network(size, shallow), network(size))
    loop = linen.Linen(linen.UnrolledResNet(depth=size.resnet[0]))
    unrolled = networks.resnet(size, remat="", peer=loop, variant="unrolled")
    yield from _compared("unrolled", TIME, networks.resnet(size, remat=""), unrolled)
    yield from (Measurement("step", networks.resnet(size, batch_size=size.large, dtype=dtype)) for dtype in DTYPES)
    yield from _torch(networks.torch_resnet(size, "bfloat16"))
    yield from _torch(networks.torch_transformer(size))
    yield from _torch(networks.torch_dense(size))


def _torch(theirs: Torch) -> Iterator[Measurement]:
    return _compared("torch", TIME, theirs.ours, theirs)


def _compared(group: str, of: str, first: Case, *others: Case) -> Iterator[Measurement]:
    """The first, and the others with their ratio to it."""
    yield Measurement(group, first)
    yield from (Measurement(group, other, of, first) for other in others)


def _no_torch() -> str:
    """Why PyTorch is not compared; "" if it is."""
    if not importlib.util.find_spec("torch"):
        return "torch is not installed (extra [peers]): not compared"
    if jax.default_backend() not in ("cpu", "gpu"):
        return f"torch has no {jax.default_backend()}: not compared"
    return ""
