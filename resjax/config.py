"""Configurations: frozen dataclasses of plain values, the only thing that flags, tests and records share.

No JAX here, so that `--help` is fast.
"""

import dataclasses
import hashlib
import json
from typing import Any

from resjax.errors import UserError


def option(default: Any, help: str, *, minimum: float | None = None, choices=(), changes_results: bool = True):
    """A field of a configuration, and the flag of its name.

    Args:
      default: its type is the flag's type; a tuple becomes a comma-separated list.
      help: what `--help` says.
      minimum: the smallest value allowed, of every element for a tuple.
      choices: the values allowed; empty allows all.
      changes_results: False for what may differ when a run is taken up again (`--workdir`).
    """
    metadata = {"help": help, "minimum": minimum, "choices": choices, "changes_results": changes_results}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Training:
    """How one network is built and trained; every experiment's configuration starts from these."""

    dataset: str = option("digits", "digits, or any image-classification set of TensorFlow Datasets")
    data_dir: str = option("", "where prepared TFDS sets lie (default: ~/tensorflow_datasets)", changes_results=False)
    branch: str = option("dense", "what a block computes: dense, dense(layers=3), package.module:Name")
    width: int = option(64, "units of a layer", minimum=1)
    activation: str = option("relu", "relu, tanh, gelu, silu, …: a name of jax.nn")
    order: str = option("pre", "normalise and activate before the weights, or after", choices=("pre", "post"))
    initializer: str = option(
        "he_normal",
        "he_normal, xavier_normal, lecun_normal, orthogonal, normal(stddev=0.1), zeros, constant(value=0.1)",
    )
    optimizer: str = option("sgd", "sgd(momentum=0.9,nesterov=False), adam or adamw, with arguments of optax")
    learning_rate: float = option(0.05, "peak learning rate", minimum=0)
    schedule: str = option("constant", "constant, cosine, linear, or step(at=(0.5,0.75),factor=0.1)")
    warmup_steps: int = option(0, "steps over which the learning rate rises from zero", minimum=0)
    weight_decay: float = option(0.0, "weight decay on all parameters (decoupled for adamw)", minimum=0)
    clip_norm: float = option(0.0, "clip the gradient's global norm; 0 does not clip", minimum=0)
    batch_size: int = option(64, "examples a step", minimum=1)
    steps: int = option(200, "training steps", minimum=1)
    remat: str = option(
        "nothing_saveable",
        "what a block keeps for the backward pass: a name of jax.checkpoint_policies, or '' for everything",
    )
    checkpoint_every: int = option(100, "steps between checkpoints", minimum=1, changes_results=False)
    log_every: int = option(20, "steps between the lines of metrics.jsonl", minimum=1, changes_results=False)
    tensorboard: bool = option(False, "also write the metrics for TensorBoard", changes_results=False)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for element in value if isinstance(value, tuple) else (value,):
                _check(field, element)
            if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
                raise UserError(f"--{field.name}={','.join(map(str, value))}: give one value or several different ones")


def _check(field: dataclasses.Field, value):
    minimum, choices = field.metadata["minimum"], field.metadata["choices"]
    if minimum is not None and not value >= minimum:  # also refuses nan
        raise UserError(f"--{field.name}={value}: must be at least {minimum}")
    if choices and value not in choices:
        raise UserError(f"--{field.name}={value}: must be one of {', '.join(choices)}")


@dataclasses.dataclass(frozen=True)
class Point(Training):
    """One network to train: one row of a result table."""

    depth: int = option(20, "weighted layers, stem and head included, projections not", minimum=1)
    connection: str = option("residual", "how F(x) meets the stream")
    norm: str = option("batch", "normalisation")
    seed: int = option(0, "seed of weights, batches and gates", minimum=0)

    @classmethod
    def of(cls, training: Training, **values) -> "Point":
        """The point with the training options of an experiment's configuration and these values."""
        shared = {field.name: getattr(training, field.name) for field in dataclasses.fields(Training)}
        return cls(**shared | values)

    @property
    def label(self) -> str:
        """What the progress bar and the messages call it."""
        return f"{self.connection}/{self.norm} depth {self.depth} seed {self.seed}"


def relevant(config) -> dict[str, Any]:
    """The fields that decide the results, ready for JSON."""
    values = dataclasses.asdict(config)
    keep = {field.name for field in dataclasses.fields(config) if field.metadata["changes_results"]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if name in keep}


def digest(config) -> str:
    """Eight hexadecimal digits that tell configurations with different results apart."""
    return hashlib.sha256(json.dumps(relevant(config), sort_keys=True).encode()).hexdigest()[:8]
