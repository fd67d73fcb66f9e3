"""Short training runs of one network under many learning rates, all through one compiled program."""

import dataclasses
import functools
import math

import jax
import numpy as np
import optax

from resjax.lab.config import Point
from resjax.lab.plan import batches, plan
from resjax.network import Network
from resjax.training.step import TrainState, batch_gradient, initialize

ABOVE = 2  # a run whose loss ends at more than so many times the first has diverged


@functools.partial(jax.jit, static_argnames=("network", "tx"), donate_argnames=("state",))
def step(network: Network, tx: optax.GradientTransformation, state: TrainState, source, rate):
    """A training step whose update is taken `rate` times; also the loss and the gradient's norm before it."""
    gradient, (loss, _, moved) = batch_gradient(network, state, source)
    updates, optimizer_state = tx.update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, jax.tree.map(lambda update: rate * update, updates))
    state = state._replace(params=params, state=moved, optimizer=optimizer_state, step=state.step + 1)
    return state, loss, optax.global_norm(gradient)


class Trials:
    """The runs of one point, each rate at most once: `tried` has them by rate, in the order tried.

    The mean loss of the `last` steps is where a run ends.
    """

    def __init__(self, point: Point, last: int):
        self.point = point
        self.last = last
        self.tried = {}
        self.network, optimizer, self.dataset = plan(point)
        self.tx = dataclasses.replace(optimizer, learning_rate=1.0).build()

    def at(self, rate: float) -> dict:
        """What became of a run at this rate: first and last loss, whether it diverged, gradient norms by step."""
        if rate not in self.tried:
            self.tried[rate] = self._run(rate)
        return self.tried[rate]

    def _run(self, rate: float) -> dict:
        point = self.point
        images = np.zeros((1, *self.dataset.train.shape), np.float32)
        state = initialize(self.network, self.tx, jax.random.key(point.seed), images)
        found = batches(point, self.dataset)
        losses = []
        norms = []
        for at in range(point.steps):
            state, loss, norm = step(self.network, self.tx, state, found.at(at), rate)
            losses.append(float(loss))
            norms.append(float(norm))
            if not math.isfinite(losses[-1]):
                break
        finite = math.isfinite(losses[-1])
        last = float(np.mean(losses[-self.last :])) if finite else math.nan
        return {
            "rate": rate,
            "first_loss": losses[0],
            "last_loss": last,
            "diverged": not finite or last > ABOVE * losses[0],
            "diverged_step": None if finite else len(losses),
            "gradient_norms": [norm for norm in norms if math.isfinite(norm)] or [math.nan],
        }
