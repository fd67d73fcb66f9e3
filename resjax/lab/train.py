"""Training the network of a trial in a folder, from its last checkpoint on, and finding it again."""

import functools
import math
import time
from collections.abc import Callable, Container
from typing import Any

import jax
import numpy as np
from etils import epath

from resjax.cost import parameter_count
from resjax.lab.looks import Advance, Log, Reached, Save, settled
from resjax.lab.plan import Plan, batches, layout, plan, start
from resjax.lab.tables import MEASURES
from resjax.lab.trial import Trial, address, recorded
from resjax.lab.watching import Blocks, Errors
from resjax.system import checksums, distributed
from resjax.system.errors import Failure
from resjax.system.interrupts import NEVER, Stop
from resjax.system.sharding import Layout
from resjax.training import evaluation, loop
from resjax.training.checkpoint import Checkpoints
from resjax.training.metrics import Metrics
from resjax.training.step import TrainState, member


def train(
    trial: Trial,
    folder: epath.Path,
    stop: Stop = NEVER,
    advance: Callable[[int], None] = lambda steps: None,
    keep: Container[int] = (),
) -> dict[str, Any]:
    """Trains one network from the newest checkpoint in `folder` on; its result (see `_result`) and timing (`_Clock`).

    Args:
      trial: what to train; several networks if `trial.num_seeds` is not 0.
      folder: where the configuration, the metrics, the checkpoints and the record go.
      stop: when it is set, the run is saved and leaves.
      advance: called with the number of steps that have been done since the last call.
      keep: steps whose checkpoints stay, beside the newest two.

    Raises:
      UserError: from `plan`. Failure: from the checkpoints. Stopped: `stop` was set.
    """
    clock = _Clock(stop)
    planned, devices = _placed(trial)
    if distributed.is_primary():
        checksums.write_json(folder, "config.json", recorded(trial))
    checkpoints = Checkpoints(folder, address(trial), keep)
    progress, text = _resume(checkpoints, planned, trial, devices)
    with Metrics(folder, progress.step, text, trial.tensorboard) as metrics:
        save = Save(trial, checkpoints, metrics, planned, stop, keep)
        until = Reached(trial, planned, devices, save) if trial.stop_accuracy else _never
        log = Log(trial, metrics, planned)
        watched = planned, devices, metrics, stop
        watches = [Errors(trial, *watched, trial.errors_every), Blocks(trial, *watched, trial.probe_every)]
        for watch in watches:
            if watch.every and not progress.step:
                watch(progress)
        looks: list[loop.Look] = [Advance(trial.log_every, advance, progress.step), log, *watches, save]
        tx = planned.optimizer.build()
        how: dict[str, Any] = {"layout": devices, "task": planned.learned, "until": until, "after_step": clock.tick}
        loop.run(planned.network, tx, progress, trial.steps, looks, **how)
        if all(progress.diverged):
            log.diverged(progress)
    stop.deferred = False
    timing = clock.read()
    done = _result(planned, trial, progress, stop, devices) | timing | {"total_seconds": clock.seconds()}
    if distributed.is_primary():
        checksums.write(folder, "metrics.jsonl", metrics.text)
        checksums.write_json(folder, "done.json", done)
    distributed.barrier("done")
    return done


def _placed(trial: Trial) -> tuple[Plan, Layout | None]:
    """The objects that a trial asks for, on its devices."""
    planned = plan(trial)
    devices = layout(trial)
    return planned._replace(dataset=planned.dataset.on(devices)) if devices else planned, devices


def _resume(checkpoints: Checkpoints, planned: Plan, trial: Trial, devices: Layout | None) -> tuple[loop.Progress, str]:
    """Where the newest checkpoint left off, or the start; and the lines of metrics until there."""
    networks = max(1, trial.num_seeds)
    found = loop.Progress(start(planned, trial, devices), batches(trial, planned.dataset), diverged=[None] * networks)
    saved = checkpoints.restore(found.train_state)
    if not saved:
        return found, ""
    found.step, found.train_state, place = saved
    found.diverged = place["diverged"]
    found.recent = place["recent"]
    return found, place["metrics"]


def _never(progress: loop.Progress) -> bool:
    return False


def _result(planned: Plan, trial: Trial, progress: loop.Progress, stop: Stop, devices: Layout | None) -> dict[str, Any]:
    """What the record holds of the networks.

    parameters, the `MEASURES`, diverged (the first step whose loss was not finite, else
    None), steps. Of several networks the measures and diverged are lists; they end early if all diverge.
    """
    train_state = progress.train_state
    if not all(progress.diverged):
        train_state = settled(planned, train_state)
    weights = train_state.params, train_state.state
    measured = []
    for at, diverged in enumerate(progress.diverged):
        own = member(weights, at) if trial.num_seeds else weights
        measured.append(_measures(planned, own, stop, diverged, progress.step, devices))
    values = measured[0]
    if trial.num_seeds:
        values = {name: [found[name] for found in measured] for name in measured[0]}
    return {"parameters": parameter_count(train_state.params) // len(measured), "steps": progress.step} | values


def _measures(
    planned: Plan, weights: tuple[Any, Any], stop: Stop, diverged: int | None, steps: int, devices: Layout | None
) -> dict[str, Any]:
    """The measures, and `diverged`: after so many steps where the last of them did it, whose batch came before it."""
    if diverged is not None:
        return {"diverged": diverged} | dict.fromkeys(MEASURES, math.nan)
    measure = functools.partial(
        evaluation.evaluate,
        planned.network,
        *weights,
        layout=devices,
        task=planned.task,
        before_batch=lambda: distributed.check(stop),
    )
    train_loss, train_accuracy = measure(planned.dataset.train)
    if not math.isfinite(train_loss):
        return {"diverged": steps} | dict.fromkeys(MEASURES, math.nan)
    test_loss, test_accuracy = measure(planned.dataset.test)
    return {
        "diverged": None,
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
    }


def newest(folder: epath.Path, digest: str, expected: Any) -> TrainState:
    """The newest checkpoint; of a network that is finished no older one than that of its last step.

    Raises:
      Failure: there is none, or it is damaged or another configuration's.
    """
    checkpoints = Checkpoints(folder, digest)
    result = checksums.read_json(folder, "done.json") if (folder / "done.json").exists() else {}
    if None in np.ravel(np.array(result.get("diverged", 0), object)):
        return checkpoints.read(result["steps"], expected)
    saved = checkpoints.restore(expected)
    if not saved:
        raise Failure(f"{folder} has no checkpoint: remove it, and the same command trains it again")
    return saved[1]


class _Clock:
    """Splits the wall time into the way to the first finished step and the steps after it."""

    def __init__(self, stop: Stop):
        self.stop = stop
        self.started = time.perf_counter()
        self.first = self.started
        self.steps = 0

    def tick(self, loss: jax.Array) -> None:
        self.stop.deferred = True  # from here on a signal waits for the step's end, and for the save
        if self.first == self.started:
            jax.block_until_ready(loss)
            self.first = time.perf_counter()
        else:
            self.steps += 1

    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.started

    def read(self) -> dict[str, float]:
        """Seconds to the first step, compilation included; milliseconds a step, logs and saves included."""
        milliseconds = 1e3 * (time.perf_counter() - self.first) / self.steps if self.steps else math.nan
        return {"first_step_seconds": self.first - self.started, "step_milliseconds": milliseconds}
