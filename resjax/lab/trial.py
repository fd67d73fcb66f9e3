"""Trials: one network each, and the address under which it is found again."""

import dataclasses
import hashlib
import importlib.util
import json
import math
import pathlib
from collections.abc import Iterable
from importlib.machinery import PathFinder
from typing import Any, Self

from resjax.lab import datasets, names
from resjax.lab.config import Architecture, Optimization, Probing, Training
from resjax.lab.options import differing, option
from resjax.system.errors import UserError

DATA = {"seed", "learning_rate", "weight_decay", "clip_norm", "random_labels"}  # of which programs are independent
NO_CODE = {"dataset", "train_split", "test_split"}  # whose colons need not name a module
SEMANTICS = 5  # to be raised when a default, or what an option means, changes: no address of before is found then


@dataclasses.dataclass(frozen=True)
class Varied:
    """What most experiments vary: what tells the rows of their tables apart."""

    depth: int = option(20, "weighted layers, stem and head included, projections not", minimum=1)
    connection: str = option("residual", "how F(x) meets the stream")
    norm: str = option("batch", "normalisation")
    seed: int = option(0, "seed of weights, batches and gates", minimum=0)

    @classmethod
    def of(cls, shared: Any, **values: Any) -> Self:
        """The trial with the options of an experiment's configuration that it has too, and these values."""
        own = {field.name for field in dataclasses.fields(cls)}
        given = {field.name for field in dataclasses.fields(shared)}
        return cls(**{name: getattr(shared, name) for name in own & given} | values)

    @property
    def label(self) -> str:
        """What the progress bar and the messages call it."""
        return f"{self.connection}/{self.norm} depth {self.depth} seed {self.seed}"


@dataclasses.dataclass(frozen=True)
class Variant(Varied, Architecture):
    """One network."""


@dataclasses.dataclass(frozen=True)
class Start(Variant, Probing):
    """One network that is read at its start, before any training."""


@dataclasses.dataclass(frozen=True)
class Trial(Variant, Training):
    """One network to train."""

    num_seeds: int = option(0, "networks, of this seed and those that follow, that train together; 0: one", minimum=0)
    stop_accuracy: float = option(
        0.0, "training ends once accuracy and loss on all training images are as good; 0: never", minimum=0
    )
    stop_loss: float = option(math.inf, "the loss that is good enough", minimum=0)
    stop_every: int = option(20, "steps between looks at them", minimum=1)
    errors_every: int = option(0, "steps between measurements of training and test error; 0: none", minimum=0)
    probe_every: int = option(0, "steps between looks at all blocks; 0: none", minimum=0)

    @property
    def label(self) -> str:
        """What the progress bar and the messages call it."""
        others = f" to {self.seed + self.num_seeds - 1}" if self.num_seeds else ""
        return f"{super().label}{others} rate {self.learning_rate:g}"


TOLD = {"depth", "connection", "norm", "seed", "num_seeds", "learning_rate"}  # by every label


def varied(trials: Iterable[Any]) -> list[str]:
    """The options that have several values among the trials of an experiment, but for those that every label tells."""
    known = [trial for trial in trials if isinstance(trial, Varied)]
    options = [{field.name for field in dataclasses.fields(kind)} for kind in {type(trial) for trial in known}]
    shared = set.intersection(*options) if options else set()
    return [name for name in sorted(shared - TOLD) if len({getattr(trial, name) for trial in known}) > 1]


def program(trial: Any) -> Any:
    """What tells the programs of trials apart: all but their seeds, and the numbers that a program takes as data."""
    known = {field.name for field in dataclasses.fields(trial)} if dataclasses.is_dataclass(trial) else set()
    return dataclasses.replace(trial, **{name: 0 for name in DATA & known}) if known >= DATA else trial


def address(trial: Variant) -> str:
    """Sixteen hexadecimal digits of what decides a trial's results.

    That is what it is a trial of, the values that are not the defaults, the code of its own blocks and the like, the
    files of its own data, and the version of what all of it means. So an option that is new changes no address.

    Raises:
      UserError: a module or a file that it names is not there.
    """
    values = differing(trial, type(trial)(network=trial.network)) | {"network": trial.network}
    if "dataset" in values:
        values["dataset"] = datasets.content(values["dataset"])
    content = {"semantics": SEMANTICS, "kind": type(trial).__name__, "values": values, "code": _code(values)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def recorded(trial: Variant) -> dict[str, Any]:
    """All that a trial is, for JSON, and what its data set holds where the name does not say it."""
    content = datasets.record(trial.dataset) if isinstance(trial, Optimization) else {}
    return {"kind": type(trial).__name__} | dataclasses.asdict(trial) | content


def _code(values: dict[str, Any]) -> dict[str, str]:
    """The checksums of the files that the values package.module:Name lie in."""
    lists = (value if isinstance(value, list) else [value] for name, value in values.items() if name not in NO_CODE)
    texts = [text for texts in lists for text in texts if ":" in str(text)]
    texts += [text for text in (values.get("dataset", ""),) if datasets.is_code(text)]
    modules = {names.parse(text, "value")[0].partition(":")[0] for text in texts}
    return {module: hashlib.sha256(_source(module)).hexdigest() for module in sorted(modules)}


def _source(module: str) -> bytes:
    """The code of a module, found as an import would find it; nothing is imported."""
    top, *rest = module.split(".")
    try:
        found = importlib.util.find_spec(top)
    except ValueError:  # "", as in "..x"
        found = None
    for end in range(len(rest)):
        name = ".".join([top, *rest[: end + 1]])
        found = PathFinder.find_spec(name, found.submodule_search_locations or []) if found else None
    if not found or not found.origin or not pathlib.Path(found.origin).is_file():
        raise UserError(f"{module!r}: no module of this name can be imported from here")
    return pathlib.Path(found.origin).read_bytes()


def by_seed(trial: Trial, values: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a network: of those that trained together, lists have an entry for each."""
    return [
        {name: value[at] if isinstance(value, list) else value for name, value in values.items()}
        | {"seed": trial.seed + at}
        for at in range(max(1, trial.num_seeds))
    ]
