"""Everything is tried once in the abstract, before anything is computed or written: shapes and types alone.

What the user brings is called as training will call it, so what it raises is known at once, and so is what cannot fit
into the memory. Of a stack of many blocks two stand for all: they are one program.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from resjax.data import Dataset, crop
from resjax.lab import own
from resjax.network import Network
from resjax.stack import Stack
from resjax.stochastic_depth import StochasticDepth
from resjax.system import memory
from resjax.system.errors import UserError
from resjax.training import step
from resjax.training.compilation import jit_unoptimized
from resjax.training.step import TrainState
from resjax.training.tasks import CLASSIFICATION, Task


@contextlib.contextmanager
def refusing(what: str, theirs: Mapping[str, tuple[str, str]]) -> Iterator[None]:
    """Within this context all that is raised is one line: of `what`, or of what is the user's own and raised it.

    `theirs` says of each text package.module:Name what it is, as "norm", and what it must be.
    """
    jax.devices()  # what the machine has not is not the network's fault
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        guilty = own.raised_by(error, theirs)
        whose = " or ".join(f"{theirs[text][0]} {text!r}" for text in guilty) or what
        line = own.explained(error, {text: theirs[text][1] for text in guilty})
        raise UserError(f"{whose}: {line}") from error


def network(found: Network, shape: Sequence[int], dtype: Any = jnp.float32) -> None:
    """Makes the network and runs it for inputs of this shape (H W C, or T) and type, two at a time.

    Raises:
      ValueError: its parameters do not fit into the memory. Whatever else it raises passes.
    """
    short = shortened(found)
    x = jax.ShapeDtypeStruct((2, *shape), dtype)
    params, state = jit_unoptimized(Network.init, 0).eval_shape(short, jax.random.key(0), x)
    memory.check(*_needed(found, short, params, 1))
    _forward.eval_shape(short, params, state, x)


def training(
    found: Network,
    tx: optax.GradientTransformation,
    dataset: Dataset,
    batch_size: int,
    augmentations: tuple[Callable, ...],
    num_seeds: int,
    devices: int,
    task: Task = CLASSIFICATION,
) -> None:
    """Takes the first step of the network, or of `num_seeds` of them together.

    Raises:
      ValueError: weights, gradients and momenta, or a batch, do not fit into the memory of the `devices` over which
        they are split. Whatever else it raises passes.
    """
    memory.check(memory.bytes_of(dataset.inputs(batch_size)), f"a batch of {batch_size} examples")
    short = shortened(found)
    key = jax.eval_shape(lambda: step.keys_of(0, num_seeds))
    start = jit_unoptimized(step.initial_state, (0, 1, 4))
    state: TrainState = start.eval_shape(short, tx, key, dataset.inputs(1), None)
    copies = 2 + memory.bytes_of(state.optimizer) / max(1, memory.bytes_of(state.params))
    needed, what = _needed(found, short, state.params, copies)  # of all networks, as the state is
    memory.check(needed, what, devices)
    source = dataset.train.abstract(batch_size, augmentations, num_seeds)
    step.train_step.eval_shape(short, tx, state, source, None, task)


def augmented(augmentations: Sequence[Callable], dataset: Dataset, batch_size: int) -> None:
    """Changes a batch of images, one image of a set that is streamed.

    Raises:
      ValueError: a batch comes out in another shape or precision. Whatever else is raised passes.
    """
    if dataset.streamed:
        shape: Any = dataset.train.shape
        blank = {"image": np.zeros((shape[0] + 8, shape[1] + 8, shape[2]), np.uint8), "label": 0}
        crop.cropped(blank, np.random.default_rng(0), shape=shape, augmentations=tuple(augmentations))
        return
    images = dataset.inputs(batch_size)
    for change in augmentations:
        found = jax.eval_shape(change, jax.random.key(0), images)
        if getattr(found, "shape", None) != images.shape or found.dtype != images.dtype:
            name = getattr(change, "__qualname__", str(change)).partition(".<locals>")[0]
            raise ValueError(f"{name} must give images as it gets them, {_said(images)}, not {_said(found)}")


def shortened(found: Network) -> Network:
    """The network with two turns of each stack's blocks, at most, and stochastic depth of the least probability."""
    stages = [
        dataclasses.replace(stage, length=min(stage.length, 2 * len(stage.blocks)))
        if isinstance(stage, Stack)
        else stage
        for stage in found.stages
    ]
    short = dataclasses.replace(found, stages=stages, stochastic_depth=None)
    gates = found.stochastic_depth
    if gates is None:
        return short
    least = (min(gates.survival),) * short.length
    return dataclasses.replace(short, stochastic_depth=StochasticDepth(least, gates.mode, gates.scaling))


@functools.partial(jax.jit, static_argnums=0)
def _forward(found: Network, params: Any, state: Any, x: jax.Array) -> Any:
    return found.apply(params, state, x)[0]


def _needed(found: Network, short: Network, params: Any, copies: float) -> tuple[int, str]:
    """Bytes of so many copies of the parameters, known of the short network, and what they are, for the message."""
    turns = zip(found.stacks, short.stacks, params["stages"], strict=True)
    blocks = sum(
        memory.bytes_of(own) * (one.length if stack.tied else stack.length) // one.length for stack, one, own in turns
    )
    weights = blocks + memory.bytes_of(params["stem"]) + memory.bytes_of(params["head"])
    return int(copies * weights), f"with {weights // 4:,} parameters it"


def _said(found: Any) -> str:
    dims = " ".join(map(str, getattr(found, "shape", ())))
    return f"{found.dtype} {dims}" if hasattr(found, "dtype") else type(found).__name__
