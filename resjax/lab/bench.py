"""The bench of an experiment: networks trained and measured, each at most once, by one process at a time."""

import contextlib
import dataclasses
import hashlib
import inspect
import json
import pathlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import jax
from etils import epath

from resjax.data import Dataset
from resjax.lab import memory, plan
from resjax.lab.ahead import Ahead
from resjax.lab.store import Store
from resjax.lab.train import newest, train
from resjax.lab.trial import Trial, Variant, address, recorded
from resjax.lab.view import View, summary
from resjax.network import Network
from resjax.system import checksums, distributed, lock
from resjax.system.errors import Failure
from resjax.system.interrupts import Stop
from resjax.training.checkpoint import Checkpoints
from resjax.training.step import TrainState, member


class Busy(Exception):
    """Another process is at work on this network."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A network with its weights, at its start or as training left it; of several together the leaves are M × …"""

    network: Network
    params: Any
    state: Any
    data: Dataset
    at: Callable[[int], "Snapshot"]  # the same network after so many steps, whose checkpoint was kept; 0: its start

    def members(self, count: int) -> list["Snapshot"]:
        """The networks that trained together, one by one."""
        return [
            dataclasses.replace(self, params=params, state=state)
            for params, state in (member((self.params, self.state), at) for at in range(count))
        ]


class Bench:
    """Trains and measures trials; what the store has is found there."""

    def __init__(self, store: Store, stop: Stop, view: View, ahead: Ahead, varied: Sequence[str] = ()):
        self.store = store
        self._varied = varied
        self._stop = stop
        self._view = view
        self._ahead = ahead
        self._last: tuple[tuple[Any, ...], Snapshot] | None = None

    def train(self, trial: Trial, keep: Collection[int] = ()) -> dict[str, Any]:
        """The result of a network (see `train.train`): from its record, its last checkpoint, or from scratch.

        The checkpoints of the steps in `keep` stay. A network that was trained without them is trained again.

        Raises:
          Busy: another process trains it.
        """
        self.check()
        done = self._trained(trial, keep)
        if done:
            return done
        with self._alone(trial) as folder:
            done = self._trained(trial, keep)  # by another process, meanwhile
            if not done:
                if (folder / "done.json").exists() and distributed.is_primary():
                    _clear(folder)
                distributed.barrier("cleared")
                self._view.begin(self.label(trial), trial.steps)
                self._ahead.ready(trial)
                done = self._train(trial, folder, keep)
        return done

    def _train(self, trial: Trial, folder: epath.Path, keep: Collection[int]) -> dict[str, Any]:
        """The result; of a network that exhausts the device's memory one that no record keeps: others may have more."""
        try:
            done = train(trial, folder, self._stop, self._view.advance, keep)
            said = summary(done)
        except jax.errors.JaxRuntimeError as error:
            if not memory.exhausted(error):
                raise
            if jax.process_count() > 1:  # the others wait for this one
                raise Failure(f"{self.label(trial)}: {memory.advice(trial, error)}") from None
            done = memory.result(trial)
            said = memory.advice(trial, error)
            self._last = None  # the weights of another network
            self._stop.deferred = False
        self.say(f"{self.label(trial)}: {said}")
        return done

    def train_all(self, trials: Iterable[Trial]) -> list[dict[str, Any]]:
        """The results of several networks.

        Raises:
          Busy: another process trains one of them; all others are done then.
        """
        found = []
        busy = None
        for trial in trials:
            try:
                found.append(self.train(trial))
            except Busy as error:
                busy = error
        if busy:
            raise busy
        return found

    def snapshot(self, trial: Trial, when: str = "trained") -> Snapshot:
        """A network as `train` left it or, `when` it is "start", before the first step.

        Raises:
          Failure: there is no checkpoint, or it is damaged or another configuration's.
        """
        folder = self.store.folder(trial)
        if not self._last or self._last[0] != (folder, when):
            planned = plan.plan(trial)
            start = plan.start(planned, trial)
            checkpoints = Checkpoints(folder, address(trial))

            def of(found: TrainState) -> Snapshot:
                return Snapshot(planned.network, found.params, found.state, planned.dataset, at)

            def at(step: int) -> Snapshot:
                return of(checkpoints.read(step, start) if step else start)

            found = start if when == "start" else newest(folder, address(trial), start)
            self._last = (folder, when), of(found)
        return self._last[1]

    def once(
        self, measure: Callable[..., Any], trial: Variant, when: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """`measure(trial, **options)`, a dictionary for JSON: from its record, or measured now.

        With `when`, "start" or "trained", it is `measure(trial, snapshot, **options)` with the network of that time.

        Raises:
          Busy: another process is at work on this network. Failure: the measurement exhausts the device's memory.
        """
        self.check()
        name = _record(measure, {"when": when} | options)
        found = self._measured(trial, name)
        if found is not None:
            return found
        with self._alone(trial) as folder:
            found = self._measured(trial, name)  # by another process, meanwhile
            if found is None:
                self._view.begin(self.label(trial))
                snapshot = []
                with memory.named(self.label(trial)):
                    if when:
                        assert isinstance(trial, Trial)  # others are not trained
                        snapshot.append(self.snapshot(trial, when))
                    found = json.loads(json.dumps(measure(trial, *snapshot, **options)))
                if distributed.is_primary():
                    if not (folder / "config.json").exists():
                        checksums.write_json(folder, "config.json", recorded(trial))
                    checksums.write_json(folder, name, found)
                distributed.barrier("measured")
        return found

    def label(self, trial: Variant) -> str:
        """What messages call it: its own label, and what else the experiment varies."""
        known = [name for name in self._varied if hasattr(trial, name)]
        return " ".join([trial.label, *(f"{name}={getattr(trial, name)}" for name in known)])

    def done(self, share: float) -> None:
        """Moves the experiment's progress bar."""
        self._view.done(share)

    def say(self, text: str) -> None:
        """Prints a line."""
        self._view.say(text)

    def check(self) -> None:
        """Raises Stopped once a signal has arrived, in all processes."""
        distributed.check(self._stop)

    def wait(self) -> None:
        """A moment, for other processes."""
        self.check()
        time.sleep(lock.PAUSE)

    def _trained(self, trial: Trial, keep: Collection[int]) -> dict[str, Any] | None:
        done = self.store.result(trial)
        there = Checkpoints(self.store.folder(trial), "").steps() if done and keep else []
        return done if all(at in there for at in keep if done and at <= done["steps"]) else None

    def _measured(self, trial: Variant, name: str) -> Any:
        folder = self.store.folder(trial)
        return checksums.read_json(folder, name) if (folder / name).exists() else None

    @contextlib.contextmanager
    def _alone(self, trial: Variant) -> Iterator[epath.Path]:
        """The folder of a network in which no other command's process is at work."""
        folder = self.store.folder(trial)
        busy = 0
        with contextlib.ExitStack() as stack:
            try:
                if distributed.is_primary():
                    stack.enter_context(lock.alone(folder / "lock"))
            except lock.Held:
                busy = 1
            if distributed.all_max(busy):
                raise Busy(self.label(trial))
            yield folder


def _record(measure: Callable[..., Any], options: dict[str, Any]) -> str:
    """The name of the file that holds what `measure` says with these options."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
    return f"measured/{pathlib.Path(inspect.getfile(measure)).stem}.{measure.__qualname__}-{digest}.json"


def _clear(folder: epath.Path) -> None:
    """Removes a network that is to be trained again, but for its lock: its record first and its checksums last.

    Those of the checkpoints go before these: where it is killed in between, the network has none.
    """
    (folder / "done.json").unlink(missing_ok=True)
    checksums.forget(folder, "checkpoints")
    for path in sorted(folder.iterdir(), key=lambda path: path.name == checksums.NAME):
        if path.is_dir():
            path.rmtree()
        elif path.name != "lock":
            path.unlink()
