"""The report in Python: `rj.report(block)`, of objects instead of names."""

import contextlib
import dataclasses
import functools
import html
import tempfile
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax
import pandas as pd
from etils import epath
from flax import linen
from jaxtyping import PRNGKeyArray

from resjax import data, models
from resjax.cost import forward_flops
from resjax.data import Dataset
from resjax.lab import canvas
from resjax.lab.report import figures, page, trials
from resjax.network import Network
from resjax.nn.connection import Connection
from resjax.reporting import assess, learned, start
from resjax.reporting.asked import RUNGS
from resjax.training.fit import fit

Build = Callable[[int], Network]  # a network of any depth
RATES = (0.001, 0.003, 0.01, 0.03)
FAR = 24  # layers, at most, from a depth that a family has not to the nearest that it has
LOG_EVERY = 5
MEASURES = "steps", "train_loss", "train_accuracy", "diverged", "parameters"


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report says; in a notebook it is shown as its page."""

    tables: Mapping[str, pd.DataFrame]  # results, checks, signals, rates, curves: see docs/columns.md

    @property
    def trains(self) -> bool:
        """Whether the network asked for trains at the depth asked for."""
        return bool(self.tables["results"]["trains"].iloc[0])

    @property
    def verdict(self) -> str:
        """The same in a sentence."""
        return trials.verdicts(self.tables)[0]

    def to_html(self) -> str:
        """The page: it needs nothing beside it."""
        with tempfile.TemporaryDirectory() as folder:
            many = self.tables["rates"]["learning_rate"].unique()
            options: Any = SimpleNamespace(seeds=1, rates=many)
            figures.draw(self.tables, canvas.Canvas(epath.Path(folder), options, kinds=("svg",)))
            svgs = {name: (epath.Path(folder) / f"{name}.svg").read_text() for name in page.FIGURES}
        return page.html_of(self.tables, svgs, "resjax.report(…)", lambda row: "")

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{html.escape(self.to_html())}" style="width:100%;height:40rem;border:0"></iframe>'

    def __repr__(self):
        return f"Report({self.verdict})"


def report(
    subject: linen.Module | Network | Build,
    dataset: Dataset | None = None,
    *,
    depth: int = 1000,
    against: Mapping[str, Build] | None = None,
    tx: optax.GradientTransformation | None = None,
    rates: Sequence[float] = RATES,
    steps: int = 100,
    batch_size: int = 64,
    key: PRNGKeyArray | None = None,
) -> Report:
    """Whether a block trains at a depth, and why: read at its start, and trained at every rate and several depths.

    Args:
      subject: a connection, or a block (x, train) -> y in the shape of x, of which dense networks are made; a function
        that gives the network of a depth, as `lambda depth: rj.models.dense(depth, norm=Mine())`; or a network, which
        is asked for at its own depth alone.
      dataset: what it learns; by default the digits.
      depth: the depth asked for, in weighted layers.
      against: what it is compared with, by name; by default dense networks, plain and residual, with batch norm.
      tx: a transformation that `optax.inject_hyperparams` made and that has a learning_rate; by default SGD's with
        momentum 0.9.
      rates: the learning rates, of which each is judged at the best.
      steps, batch_size: of training.
      key: of weights, inputs and batches; by default that of seed 0.

    Raises:
      ValueError: no rate, or what `models` and `fit` refuse, as a depth that there is not.
    """
    dataset = dataset or data.digits()
    key = jax.random.key(0) if key is None else key
    classes = {"classes": dataset.classes}
    usual: Mapping[str, Build] = {
        name: functools.partial(models.dense, connection=connection, norm=models.nn.BatchNorm(), **classes)
        for name, connection in (("plain", models.nn.Plain()), ("residual", models.nn.Residual()))
    }
    beside = usual if against is None else against
    if not rates:
        raise ValueError("rates=(): give at least one learning rate")
    if isinstance(subject, Network):
        depth = subject.depth
    asked = build_of(subject, classes)
    train = functools.partial(
        _train,
        dataset=dataset,
        tx=tx or optax.inject_hyperparams(optax.sgd)(learning_rate=rates[0], momentum=0.9),
        rates=rates,
        steps=steps,
        batch_size=batch_size,
        key=key,
    )
    rows: dict[str, list[dict[str, Any]]] = {}
    asked(depth)  # which says where there is none
    own = _name(subject)
    own = f"your {own}" if own in beside else own
    for name, build in ((own, asked), *beside.items()):
        depths = [depth] if build is asked and isinstance(subject, Network) else _depths(build, depth)
        for table, row in _of(build, depths, dataset, steps, key, train):
            rows.setdefault(table, []).append({"subject": name, "beside": build is not asked} | row)
    return Report({name: pd.DataFrame(own) for name, own in rows.items()})


def build_of(subject: Any, parts: Mapping[str, Any]) -> Build:
    """The function that gives the network of a depth."""
    if isinstance(subject, Network):
        return lambda depth: subject
    if isinstance(subject, Connection):
        return functools.partial(models.dense, connection=subject, norm=models.nn.BatchNorm(), **parts)
    if isinstance(subject, linen.Module):
        return functools.partial(models.dense, block=subject, connection=models.nn.Residual(), **parts)
    return subject


def _name(subject: Any) -> str:
    if isinstance(subject, Network):
        return "the network"
    return type(subject).__name__ if isinstance(subject, linen.Module) else getattr(subject, "__name__", "the network")


def _depths(build: Build, depth: int) -> list[int]:
    """A hundredth and a tenth of the depth, and the depth; or those nearest to them that there are."""
    found = {_nearest(build, round(wanted)) for wanted in np.geomspace(depth / 100, depth, RUNGS)}
    return sorted(found - {0})


def _nearest(build: Build, wanted: int) -> int:
    """The depth nearest to this one that a family of networks has, the lower of two; 0 if it has none within `FAR`."""
    for near in sorted(range(max(1, wanted - FAR), wanted + FAR + 1), key=lambda depth: abs(depth - wanted)):
        with contextlib.suppress(ValueError):
            return build(near).depth
    return 0


def _of(build: Build, depths: Sequence[int], dataset: Dataset, steps: int, key: PRNGKeyArray, train: Callable):
    """The rows of one network's tables."""
    deepest = depths[-1]
    network = build(deepest)
    one, _ = dataset.train.example
    seen = start.read(network, one, dataset.classes, key) | {"constant_loss": learned.constant_loss(dataset.train)}
    yield from (("signals", row) for row in trials.rows(trials.by_block(seen, deepest)))
    trained: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for depth in depths:
        for row, curve in train(build(depth)):
            trained.append(row)
            curves += curve
    flops = forward_flops(network, dataset.inputs(1))
    for table, row in assess.assessed(seen, trained, curves, deepest, steps):
        yield table, {"flops": flops} | row


def _train(network: Network, *, dataset: Dataset, rates: Sequence[float], **options: Any):
    """A row a rate, and its learning curve."""
    for rate in rates:
        place = {"depth": network.depth, "learning_rate": rate, "seed": 0}
        every = min(LOG_EVERY, max(1, options["steps"] // 2))  # the frontier is asked for in half of the steps, too
        result = fit(network, dataset, hyperparams={"learning_rate": rate}, log_every=every, **options)
        row = place | {name: getattr(result, name) for name in MEASURES}
        yield row, [own | place for own in result.history.to_dict("records")]
