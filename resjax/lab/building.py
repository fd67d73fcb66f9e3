"""From a trial to its network: built of what the names stand for, and checked before anything is computed."""

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from resjax import independence, nn
from resjax.lab import registry, rehearsal
from resjax.lab.config import Architecture
from resjax.lab.trial import Variant
from resjax.network import Network
from resjax.nn import norms
from resjax.system import memory
from resjax.system.errors import UserError


def parts(trial: Architecture) -> dict[str, Any]:
    """The options of `models.Parts` that a configuration names."""
    found = {
        "width": trial.width,
        "block": registry.block(trial.block),
        "shortcut": registry.shortcut(trial.shortcut),
        "projections": trial.projections,
        "activation": registry.activation(trial.activation),
        "initializer": registry.initializer(trial.initializer),
        "bias_initializer": registry.initializer(trial.bias_initializer),
        "order": registry.order(trial.order, trial.network),
        "spectral_norm": trial.spectral_norm,
        "looped": trial.looped,
        "remat": registry.remat(trial.remat),
        "dtype": None if trial.dtype == "float32" else jnp.dtype(trial.dtype),  # None: float64 stays what it is
        "stream": jnp.dtype(trial.stream) if trial.stream and trial.dtype != trial.stream else None,
    }
    return found | ({"branch": registry.branch(trial.branch)} if trial.branch else {})


def network(trial: Variant, classes: int, **replaced: Any) -> Network:
    """The network that a trial asks for, with some of its `models.Parts` replaced.

    Raises:
      UserError: an unknown name, or a depth that the architecture cannot have.
    """
    own = {"connection": registry.connection(trial.connection), "norm": registry.norm(trial.norm), "classes": classes}
    with registry.flag("network", trial.network):
        return registry.family(trial.network).build(trial.depth, **parts(trial) | own | replaced)


def refusing(trial: Variant) -> contextlib.AbstractContextManager[None]:
    """Within this context all that is raised is one line, on the trial or on what is the user's own of it."""
    theirs = {}
    for name in registry.WANTED.keys() & {field.name for field in dataclasses.fields(trial)}:
        value = getattr(trial, name)
        for text in value if isinstance(value, tuple) else (value,):
            if ":" in text:
                theirs[text] = name, registry.WANTED[name]
    return rehearsal.refusing(f"{trial.network} of depth {trial.depth} and width {trial.width}", theirs)


def of_last_batch(trial: Variant, like: Network) -> Network:
    """The trial's network, `like`, with norms whose running statistics are those of the last batch alone."""
    norm = norms.of_last_batch(registry.norm(trial.norm))
    twin = network(trial, like.head.classes, norm=norm, pooled=like.head.pooled)
    stem = like.stem if isinstance(like.stem, nn.NoNorm) else twin.stem  # tokens that are embedded already
    return dataclasses.replace(twin, stem=stem, stochastic_depth=like.stochastic_depth)


def depths(trial: Variant) -> Sequence[int]:
    """The depths up to `trial.depth` that its architecture can have.

    Raises:
      UserError: there is none.
    """
    with registry.flag("network", trial.network):
        possible = registry.family(trial.network).depths(trial.depth, **parts(trial))
    if not possible:
        network(trial, 1)  # says why
    return possible


def check(trial: Variant, network: Network, shape: Sequence[int], whose: str, dtype: DTypeLike = jnp.float32) -> None:
    """Refuses inputs of this shape (H W C, or T) and type, for the error message `whose`, that the network cannot take.

    With `x64` they are float64.

    Raises:
      UserError: they are too small, the network does not fit into the memory, or something of the user's own cannot be
        called as it must, changes the shape of the stream or mixes the batch.
    """
    if len(shape) == 3:
        _check_image(trial, network, shape, whose)
    x64 = getattr(trial, "x64", False)
    dtype = jnp.float64 if x64 and jnp.issubdtype(dtype, jnp.floating) else dtype
    with refusing(trial), jax.enable_x64(True) if x64 else contextlib.nullcontext():
        inputs = 2 * getattr(trial, "pairs", 0)
        memory.check((8 if x64 else 4) * inputs * math.prod(shape), f"a batch of {inputs} inputs")
        rehearsal.network(network, shape, dtype)
        if any(":" in getattr(trial, name) for name in ("block", "branch", "norm", "connection")):
            independence.check(network, shape, dtype)


def _check_image(trial: Variant, network: Network, shape: Sequence[int], whose: str) -> None:
    """Refuses images H W C that are too small, or have too many channels."""
    height, width, channels = shape
    if isinstance(network.stem, nn.PaddingStem):
        if height % network.stride or width % network.stride:
            raise UserError(
                f"--network={trial.network}: squeezes squares of {network.stride}×{network.stride}, "
                f"which do not fill the {height}×{width} pixels of {whose}"
            )
        if channels > trial.width:
            raise UserError(f"--width={trial.width}: must be at least {channels}, the channels of {whose}")
    if max(height, width) < network.stride:  # of a curve, one pixel high, only the width is halved
        raise UserError(
            f"--network={trial.network}: needs images with a side of {network.stride} pixels or more, "
            f"{whose} has {height}×{width}"
        )
