"""How the benchmarks time: the training step of a trial, and of two things in turn the median of their ratios."""

import dataclasses
import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from resjax.data import Dataset, Split
from resjax.lab.plan import batches, plan
from resjax.lab.trial import Trial
from resjax.training.step import TrainState, initial_state, initialize, keys_of, train_step


def compare(what: str, unit: str, at_most: float, turns: int, measure: Callable, reference: Callable) -> dict:
    """A row of the table: the two are measured in turn, the ratio is the median of the turns' ratios."""
    pairs = np.array([(measure(), reference()) for _ in range(turns)])
    row = ratio(what, unit, at_most, *np.median(pairs, axis=0))
    return row | {"ratio": np.median(pairs[:, 0] / pairs[:, 1])}


def ratio(what: str, unit: str, at_most: float, measured: float, reference: float) -> dict:
    """A row of the table."""
    values = {"measured": measured, "reference": reference, "ratio": measured / reference}
    return {"what": what, "unit": unit, "at_most": at_most} | values


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fixed:
    """A batch that is always the same, in place of a source of batches."""

    inputs: jax.Array  # B …
    targets: jax.Array  # B, or B T

    def batch(self, key, step):
        return self.inputs, self.targets


class Step:
    """A training step of a trial, of its network or of one with the same `init` and `apply`.

    `images` replaces the data set by as many random images of that shape, which costs no less. A trial of several
    networks together steps all of them.
    """

    def __init__(self, trial: Trial, network=None, images: tuple[int, int, int, int] | None = None):
        planned = plan(trial, _random(images) if images else None)
        self.planned = planned
        self.optimizer = planned.optimizer
        self.network = network or planned.network
        self.tx = self.optimizer.build()
        self.one = jnp.zeros_like(planned.dataset.inputs(1))
        self.source = batches(trial, planned.dataset).at(0)
        self.keys = functools.partial(keys_of, trial.seed, trial.num_seeds)  # new each time: a step takes them over

    def start(self, initialize=initialize) -> TrainState:
        """The state before the first step."""
        state = initialize(self.network, self.tx, self.keys(), self.one)
        return state._replace(optimizer=self.optimizer.filled(state.optimizer))

    def lower(self, source=None):
        """The lowered program."""
        start = functools.partial(initial_state, self.network, self.tx)
        state = jax.eval_shape(start, self.keys(), self.one)
        return train_step.lower(self.network, self.tx, state, source or self.source)

    def run(self, state: TrainState, source=None) -> tuple[TrainState, jax.Array]:
        """One step: the new state and the loss."""
        state, loss, _ = train_step(self.network, self.tx, state, source or self.source)
        return state, loss

    def compile_seconds(self) -> float:
        """Seconds to trace, lower and compile."""
        jax.clear_caches()
        started = time.perf_counter()
        self.lower().compile()
        return time.perf_counter() - started

    def temporary(self) -> float:
        """MiB of temporary memory of a step, gradients included."""
        return self.lower().compile().memory_analysis().temp_size_in_bytes / 2**20

    def first_seconds(self, initialize=initialize) -> float:
        """Seconds to the end of the first step: initialised, traced, compiled, run."""
        jax.clear_caches()
        started = time.perf_counter()
        self.run(self.start(initialize))[1].block_until_ready()
        return time.perf_counter() - started

    def stepper(self, source=None) -> Callable[[int], float]:
        """A function: steps -> milliseconds a step. One step is done here, so that it compiles here."""
        state = self.start()

        def step():
            nonlocal state
            state, loss = self.run(state, source)
            loss.block_until_ready()

        step()
        return functools.partial(milliseconds, step)


def milliseconds(step: Callable, steps: int) -> float:
    """The time of a call."""
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return 1e3 * (time.perf_counter() - started) / steps


def paced(step: Callable, wait: Callable, turns: int, seconds: float) -> float:
    """The milliseconds of a step, median over the turns, of which each is so long or one step.

    The device is waited for once a turn, as training waits for it: it works while Python prepares the steps to come.
    """

    def turn(steps: int) -> float:
        def run():
            for _ in range(steps):
                step()
            wait()

        return milliseconds(run, 1) / steps

    turn(1)
    steps = max(1, round(1e3 * seconds / turn(1)))
    return float(np.median([turn(steps) for _ in range(turns)]))


def _random(shape: tuple[int, int, int, int]) -> Dataset:
    keys = jax.random.split(jax.random.key(0), 2)
    images = jax.random.randint(keys[0], shape, 0, 256).astype(jnp.uint8)
    labels = jax.random.randint(keys[1], shape[:1], 0, 10)
    middle = jnp.full(shape[-1:], 127.5)
    split = Split(images, labels, middle, middle / 2)
    return Dataset(split, split, classes=10)
