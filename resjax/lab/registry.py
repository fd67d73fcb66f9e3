"""The names of the command line, and the objects that they stand for: the one place where a name becomes an object."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as linen
import jax
import numpy as np

from resjax import models, nn, stochastic_depth, transformers
from resjax.data import Dataset, augment, crop
from resjax.lab import names, optimizer
from resjax.nn import initializers, shortcuts
from resjax.stochastic_depth import StochasticDepth
from resjax.system.errors import UserError
from resjax.training import tasks
from resjax.training.tasks import Task

NETWORKS = {
    "dense": lambda: models.DENSE,
    "resnet": lambda: models.RESNET,
    "preact": lambda: models.PREACT,
    "bottleneck": lambda: models.BOTTLENECK,
    "wide": models.wide_family,
    "imagenet": lambda: models.RESNET_IMAGENET,
    "iresnet": lambda: models.IRESNET,
    "transformer": transformers.text_family,
    "vit": transformers.image_family,
}
BRANCHES = {"dense": nn.Dense, "basic": nn.Basic, "bottleneck": nn.Bottleneck, "crl": nn.crl}
CONNECTIONS = {
    "plain": nn.Plain,
    "residual": nn.Residual,
    "projection": nn.Projected,
    "scaled": nn.Scaled,
    "rezero": nn.ReZero,
    "layerscale": nn.LayerScale,
    "shortcut_gate": nn.ShortcutGate,
    "exclusive_gate": nn.ExclusiveGate,
    "dropout": nn.Dropout,
    "hyper": nn.Hyper,
    "mhc": nn.MHC,
    "mhc_lite": nn.MHCLite,
    "gated_streams": nn.GatedStreams,
    "laurel": nn.Laurel,
    "delta": nn.Delta,
    "attention_residual": nn.AttentionResidual,
    "dense_former": nn.DenseFormer,
    "value_residual": nn.ValueResidual,
}
NORMS = {
    "none": nn.NoNorm,
    "batch": nn.BatchNorm,
    "center": nn.Center,
    "layer": nn.LayerNorm,
    "group": nn.GroupNorm,
    "rms": nn.RMSNorm,
}
ARRANGEMENTS = {
    "deepnorm": nn.DEEPNORM,
    "keel": nn.KEEL,
    "lns": nn.LNS,
    "peri": nn.PERI,
    "rezero": nn.REZERO,
}
MADE = {"mix_ln": nn.mix_ln, "layerscale": nn.layerscale, "scaled": nn.scaled, "complete_p": nn.complete_p}
SHORTCUTS = {
    "pad": nn.Pad,
    "projection": nn.Projection,
    "orthogonal": shortcuts.orthogonal,  # at the start
    "max_pool": nn.MaxPool,
    "avg_pool": nn.AvgPool,
}
ACTIVATIONS = {
    name: lambda name=name: getattr(jax.nn, name)
    for name in ("relu", "tanh", "gelu", "silu", "elu", "selu", "sigmoid", "softplus", "identity")
} | {"crelu": lambda: nn.crelu}
INITIALIZERS = {
    name: getattr(initializers, name)
    for name in (
        "he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "glorot_normal", "glorot_uniform",
        "lecun_normal", "lecun_uniform", "orthogonal", "normal", "constant", "zeros", "variance_scaling",
        "delta_orthogonal", "torch_resnet",
    )
} | {"looks_linear": initializers.LooksLinear, "fixup": initializers.Fixup}  # fmt: skip
SURVIVAL = {
    "none": lambda lengths: np.ones(sum(lengths)),
    "linear": stochastic_depth.linear,
    "uniform": stochastic_depth.uniform,
    "stage": stochastic_depth.stage,
}
AUGMENTATIONS: dict[str, Callable[..., Callable]] = {"crop": augment.crop, "flip": augment.flip}
STREAMED_AUGMENTATIONS: dict[str, Callable[..., Callable]] = {"resized_crop": crop.resized_crop, "flip": crop.flip}
NO_AUGMENTATION = ("none",)

WANTED = {  # of what is somebody's own
    "connection": "a resjax.nn.Connection with write(x, f, c, place) -> x",
    "norm": "a flax.linen.Module that is called (x, train) -> x",
    "branch": "a flax.linen.Module that is called (x, train) -> f",
    "block": "a flax.linen.Module that is called (x, train) -> y",
    "order": "a resjax.nn.Order or a resjax.nn.Arrangement",
    "shortcut": "a flax.linen.Module that is called (x, train) -> x, with the fields features and stride",
    "activation": "a function that gives a function of arrays",
    "initializer": "a function that gives a function (key, shape, dtype) -> array, or an object with at(site)",
    "bias_initializer": "a function that gives a function (key, shape, dtype) -> array, or an object with at(site)",
    "augment": "a function that gives a function (key, images) -> images",
    "streamed": "a function that gives a function (rng, image, size) -> image",
    "survival": "a function of lengths, the blocks of each stage, that gives as many numbers as there are blocks",
    "task": "a resjax.training.tasks.Task",
    "network": "a function that gives an object with build(depth, **parts) and depths(limit, **parts)",
} | optimizer.WANTED


def _kind(name: str, table: dict[str, Any], accepts: Callable[[Any], bool], **options: Any) -> Callable[[str], Any]:
    return functools.partial(names.build, kind=name, table=table, accepts=accepts, wanted=WANTED[name], **options)


def _is_module(found: Any) -> bool:
    return isinstance(found, linen.Module)


def _is_initializer(found: Any) -> bool:
    return (callable(found) or hasattr(found, "at")) and not isinstance(found, type)


def _is_order(found: Any) -> bool:
    return isinstance(found, nn.Order | nn.Arrangement)


def _is_task(found: Any) -> bool:
    return isinstance(found, Task)


def _is_network(found: Any) -> bool:
    return hasattr(found, "build") and hasattr(found, "depths")


connection = _kind("connection", CONNECTIONS, lambda found: isinstance(found, nn.Connection), reserved=("attends",))
norm = _kind("norm", NORMS, _is_module)
activation = _kind("activation", ACTIVATIONS, callable)
initializer = _kind(
    "initializer", INITIALIZERS, _is_initializer, reserved=("in_axis", "out_axis", "batch_axis", "dtype")
)
shortcut = _kind("shortcut", SHORTCUTS, _is_module, reserved=("features", "stride", "spectral_norm", "kernel"))
branch = _kind("branch", BRANCHES, _is_module, reserved=("features", "stride"))
family = _kind("network", NETWORKS, _is_network)


def task(text: str, data: Dataset) -> Task:
    """The task that `text` names; for no name what the data set's targets are for.

    Raises:
      UserError: an unknown name, or a task of other targets than the data set's.
    """
    usual = tasks.usual(data)
    if not text and usual == "regression":
        raise UserError(f"{data.name} has floating labels: make them integers for classes, or give --task=regression")
    if not text:
        return tasks.TASKS[usual]
    found = names.build(text, "task", _givers(tasks.TASKS), wanted=WANTED["task"], accepts=_is_task)
    if text in tasks.TASKS and text != usual:
        raise UserError(f"--task={text}: {data.name} is for {usual}")
    return found


def order(text: str, network: str = "dense") -> nn.Order | nn.Arrangement:
    """Where norm and activation stand: what `text` names for a network of this name.

    Raises:
      UserError: an unknown name, or one's own that is neither an order nor an arrangement.
    """
    return names.build(text, "order", orders(network), wanted=WANTED["order"], accepts=_is_order)


def orders(network: str = "dense") -> dict[str, Callable[..., Any]]:
    """The names of orders for a network of this name: a transformer's `pre` and `post` are its own."""
    own = getattr(family(network), "orders", {})
    return _givers(nn.ORDERS | ARRANGEMENTS | own) | MADE


def _givers(objects: Mapping[str, Any]) -> dict[str, Callable[[], Any]]:
    """Functions that give these objects, by name."""
    return {name: functools.partial(lambda found: found, found) for name, found in objects.items()}


def block(text: str) -> linen.Module | None:
    """The block that `text` names, a Linen module (x, train) -> y; None for no name.

    Raises:
      UserError: the path does not import, or leads to something that is no Linen module.
    """
    if not text:
        return None
    return names.build(text, "block", {}, wanted=WANTED["block"], accepts=_is_module)


def remat(text: str) -> Callable[..., bool] | None:
    """The policy of `jax.checkpoint_policies` that `text` names; None for no name."""
    policies = [name for name in dir(jax.checkpoint_policies) if name.endswith("saveable")]
    if text and text not in policies:
        raise UserError(
            f"unknown remat policy {text!r}{names.perhaps(text, policies)}: "
            f"known are {', '.join(policies)}, or '' for none"
        )
    return getattr(jax.checkpoint_policies, text) if text else None


def augmentations(texts: Sequence[str], streamed: bool) -> tuple[Callable, ...]:
    """The random changes of training images that `texts` name, for a set in memory or one that is streamed."""
    if streamed:
        kind = "augmentation of streamed images"
        table = STREAMED_AUGMENTATIONS
        wanted = WANTED["streamed"]
    else:
        kind = "augmentation"
        table = AUGMENTATIONS
        wanted = WANTED["augment"]
    chosen = [text for text in texts if text not in NO_AUGMENTATION]
    return tuple(names.build(text, kind, table, wanted=wanted, accepts=callable) for text in chosen)


@contextlib.contextmanager
def flag(name: str, value: object, *errors: type[Exception]) -> Iterator[None]:
    """Within this context, what the library refuses is the user's mistake with this flag."""
    refused: tuple[type[Exception], ...] = (TypeError, ValueError, *errors)
    try:
        yield
    except refused as error:
        raise UserError(f"--{name}={value}: {error}") from error


def survival(text: str, mode: str, scaling: str, lengths: Sequence[int]) -> StochasticDepth | None:
    """The stochastic depth that `text` names, for stages of these lengths; None where every block always survives.

    Raises:
      UserError: an unknown schedule, or one whose probabilities are not L numbers in (0, 1].
    """
    probabilities = names.build(text, "survival", SURVIVAL, wanted=WANTED["survival"], lengths=tuple(lengths))
    with flag("survival", text):
        return stochastic_depth.of(probabilities, lengths, mode, scaling)
