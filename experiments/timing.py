"""How `throughput` measures: two things in turn, in one process, and the median of their ratios."""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from resjax import steps, train
from resjax.config import Point
from resjax.data import Dataset
from resjax.resident import Split


def compare(what: str, unit: str, at_most: float, turns: int, measure: Callable, reference: Callable) -> dict:
    """A row of the table: the two are measured in turn, the ratio is the median of the turns' ratios."""
    pairs = np.array([(measure(), reference()) for _ in range(turns)])
    row = ratio(what, unit, at_most, *np.median(pairs, axis=0))
    return row | {"ratio": np.median(pairs[:, 0] / pairs[:, 1])}


def ratio(what: str, unit: str, at_most: float, measured: float, reference: float) -> dict:
    """A row of the table."""
    values = {"measured": measured, "reference": reference, "ratio": measured / reference}
    return {"what": what, "unit": unit, "at_most": at_most} | values


class Step:
    """A training step of a point, of its network or of one with the same `init` and `apply`.

    `images` replaces the data set by as many random images of that shape, which costs no less.
    """

    def __init__(self, point: Point, network=None, images: tuple[int, int, int, int] | None = None):
        planned, self.optimizer, dataset = train.plan(point, _random(images) if images else None)
        self.network = network or planned
        self.shape = (1, *dataset.train.shape)
        self.source = dataset.train.batches(point.batch_size, point.augment, point.seed).at(0)

    def start(self, initialize=steps.initialize) -> steps.Carry:
        """The state before the first step."""
        return initialize(self.network, self.optimizer, jax.random.key(0), jnp.zeros(self.shape, jnp.float32))

    def lower(self):
        """The lowered program."""
        start = functools.partial(steps.initial_carry, self.network, self.optimizer)
        carry = jax.eval_shape(start, jax.random.key(0), jnp.zeros(self.shape, jnp.float32))
        return steps.train_step.lower(self.network, self.optimizer, carry, self.source)

    def run(self, carry, source=None):
        """One step: the new carry and the loss."""
        carry, loss, _ = steps.train_step(self.network, self.optimizer, carry, source or self.source)
        return carry, loss

    def compile_seconds(self) -> float:
        """Seconds to trace, lower and compile."""
        jax.clear_caches()
        started = time.perf_counter()
        self.lower().compile()
        return time.perf_counter() - started

    def stepper(self, source=None) -> Callable[[int], float]:
        """A function: steps -> milliseconds a step. One step is done here, so that it compiles here."""
        carry = self.start()

        def step():
            nonlocal carry
            carry, loss = self.run(carry, source)
            loss.block_until_ready()

        step()
        return functools.partial(milliseconds, step)


def milliseconds(step: Callable, steps: int) -> float:
    """The time of a call."""
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return 1e3 * (time.perf_counter() - started) / steps


def _random(shape: tuple[int, int, int, int]) -> Dataset:
    keys = jax.random.split(jax.random.key(0), 2)
    images = jax.random.randint(keys[0], shape, 0, 256).astype(jnp.uint8)
    labels, middle = jax.random.randint(keys[1], shape[:1], 0, 10), jnp.full(shape[-1:], 127.5)
    split = Split(images, labels, middle, middle / 2)
    return Dataset(split, split, classes=10)
