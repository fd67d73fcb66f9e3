"""What a network is to do: what its outputs are of, what training makes small, and what counts as right."""

import dataclasses

import jax.numpy as jnp

from resjax.data import Dataset
from resjax.training import losses
from resjax.training.losses import Loss


@dataclasses.dataclass(frozen=True)
class Task:
    """A loss and a score, functions of outputs and targets that give a number an example, and the outputs' shape."""

    loss: Loss = losses.loss
    score: Loss = losses.score  # at most 1, which is perfect: in tables and records it is called accuracy
    pooled: bool = True  # one output an example, from the mean over its pixels or tokens; False: one for each of these


CLASSIFICATION = Task()  # targets B, classes
REGRESSION = Task()  # targets B K, numbers
LANGUAGE_MODEL = Task(pooled=False)  # targets B T, the next tokens
TASKS = {"classification": CLASSIFICATION, "regression": REGRESSION, "language_model": LANGUAGE_MODEL}


def usual(data: Dataset) -> str:
    """The name of what the targets of a data set are for: a class an example, one for each token, or numbers."""
    _, target = data.train.example
    if not jnp.issubdtype(target.dtype, jnp.integer):
        return "regression"
    return "language_model" if target.shape else "classification"
