"""Short training runs of one network under many learning rates, all through one compiled program."""

import dataclasses
import functools
import math

import jax
import numpy as np
import optax

from experiments.learning_rate import LAST
from resjax import steps, train
from resjax.config import Point
from resjax.networks import Network
from resjax.optimizers import Optimizer

ABOVE = 2  # a run whose loss ends at more than so many times the first has diverged


@functools.partial(jax.jit, static_argnames=("network", "optimizer"), donate_argnames=("carry",))
def step(network: Network, optimizer: Optimizer, carry: steps.Carry, source, rate):
    """A training step whose update is taken `rate` times; also the loss and the gradient's norm before it."""
    gradient, (loss, _, state) = steps.batch_gradient(network, carry, source)
    updates, optimizer_state = optimizer.build().update(gradient, carry.optimizer, carry.params)
    params = optax.apply_updates(carry.params, jax.tree.map(lambda update: rate * update, updates))
    carry = carry._replace(params=params, state=state, optimizer=optimizer_state, step=carry.step + 1)
    return carry, loss, optax.global_norm(gradient)


class Trials:
    """The runs of one point, each rate at most once: `tried` has them by rate, in the order tried."""

    def __init__(self, point: Point):
        self.point, self.tried = point, {}
        self.network, optimizer, self.dataset = train.plan(point)
        self.optimizer = dataclasses.replace(optimizer, learning_rate=1.0)

    def at(self, rate: float) -> dict:
        """What became of a run at this rate: first and last loss, whether it diverged, gradient norms by step."""
        if rate not in self.tried:
            self.tried[rate] = self._run(rate)
        return self.tried[rate]

    def _run(self, rate: float) -> dict:
        point, shape = self.point, (1, *self.dataset.train.shape)
        carry = steps.initialize(self.network, self.optimizer, jax.random.key(point.seed), np.zeros(shape, np.float32))
        batches = self.dataset.train.batches(point.batch_size, point.augment, point.seed)
        losses, norms = [], []
        for at in range(point.steps):
            carry, loss, norm = step(self.network, self.optimizer, carry, batches.at(at), rate)
            losses.append(float(loss))
            norms.append(float(norm))
            if not math.isfinite(losses[-1]):
                break
        finite = math.isfinite(losses[-1])
        last = float(np.mean(losses[-LAST:])) if finite else math.nan
        return {
            "rate": rate,
            "first_loss": losses[0],
            "last_loss": last,
            "diverged": not finite or last > ABOVE * losses[0],
            "diverged_step": None if finite else len(losses),
            "gradient_norms": [norm for norm in norms if math.isfinite(norm)] or [math.nan],
        }
