"""Columns of the tables: type and meaning. What was varied, and what training gives, stands here once."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from resjax.lab.trial import Trial


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table."""

    dtype: str  # pandas'
    meaning: str


Columns = Mapping[str, Column]  # by name, in order


def text(meaning: str) -> Column:
    """A column of words."""
    return Column("str", meaning)


def whole(meaning: str, *, optional: bool = False) -> Column:
    """A column of whole numbers, some of which may be missing."""
    return Column("Int64" if optional else "int64", meaning)


def number(meaning: str, *, dtype: str = "float64") -> Column:
    """A column of numbers; nan is one, and an empty cell in the file."""
    return Column(dtype, meaning)


def truth(meaning: str) -> Column:
    """A column of True and False."""
    return Column("bool", meaning)


NO_STEP = -1  # in the column `diverged`: memory was exhausted (see `resjax.lab.memory`)
MEASURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")  # of a trained network
DTYPES = {bool: "bool", int: "int64", float: "float64", str: "str"}
TRAINED = {
    "parameters": whole("trained numbers"),
    "steps": whole("that were done"),
    "train_loss": number("cross-entropy over all training examples, in nats; of numbers the squared error"),
    "train_accuracy": number("share of all training examples, or of their tokens, that are right; of numbers R²"),
    "test_loss": number("as train_loss, of the held-out examples"),
    "test_accuracy": number("as train_accuracy, of the held-out examples"),
    "diverged": whole(
        "the first step whose loss was not finite, -1: the device's memory did not suffice; empty if there was none",
        optional=True,
    ),
    "first_step_seconds": number("to the end of the first step, compilation included"),
    "step_milliseconds": number("a step after it, logs and checkpoints included"),
    "total_seconds": number("from the start to the record, of the process that finished it"),
    "at_edge": truth("whether its rate is the lowest or the highest of those tried, so that a better may lie beyond"),
    "chosen": truth("whether the family and depth is judged at this rate"),
    "matched": truth("whether training came down to --matched_loss"),
    "step": whole("of training"),
    "loss": number("mean over the batches since the row before, in nats"),
    "accuracy": number("mean over the same batches"),
}

BLOCKS = {"blocks": whole("of a transformer: attention and MLP, 4 weighted layers", optional=True)}

RECOVERED = {  # see `probes.recovery`
    "lipschitz_lower": number("what the Lipschitz constant of the block with the largest is at least"),
    "lipschitz_upper": number("what it is at most"),
    "invertible_share": number("of the blocks, whose upper bound is below 1"),
    "inverse_error": number("of the inverse of all blocks, relative, the largest over the images"),
    "inverse_bound": number("on it, by the constants and iterations; where all constants are below 1"),
    "iterations": whole("the most that a block took", optional=True),
    "newton_share": number("of blocks and images: the fixed point was not reached, Newton's method tried"),
    "not_inverted_share": number("of blocks and images: nor did that find it"),
}

AROUND = {  # see `probes.surroundings`
    "centre_loss": number("at the trained weights, over the images of the landscape, like all that follows"),
    "share_within": number("of the plane: where the loss is at most --level above the centre's"),
    "convexity": number("share of the chords of the random lines that are nowhere under the loss"),
    "negative_curvature": number("|λ_min / λ_max| of the Hessian, the plane's median"),
    "negative_curvature_max": number("and its largest"),
    "lambda_max": number("the largest eigenvalue of the Hessian"),
    "lambda_min": number("the smallest one"),
    "explained": number("of the way of the kernels, the share that is in the plane; empty for random"),
}

STRETCHED = {  # see `probes.undoing`
    "sigma_min": number("the smallest singular value of the Jacobian of all blocks, geometric mean over the images"),
    "sigma_max": number("the largest one"),
    "rank_share": number("of the singular values, those above the precision of float64"),
    "condition": number("sigma_max / sigma_min"),
    "logdet": number("log |det| of the Jacobian of all blocks, mean over the images"),
    "logdet_lower": number("what the Lipschitz constants promise"),
    "logdet_upper": number("what they allow"),
}


def option_column(field: dataclasses.Field) -> Column:
    """The column of an option."""
    default = field.default[0] if isinstance(field.default, tuple) else field.default
    return Column(DTYPES[type(default)], field.metadata["help"])


def columns(*names: str, **own: Column) -> dict[str, Column]:
    """The columns of options, and of what stands here, by name, and then an experiment's own."""
    options = {field.name: option_column(field) for field in dataclasses.fields(Trial)}
    known = options | TRAINED | RECOVERED | STRETCHED | AROUND
    return {name: known[name] for name in names} | own


def records(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The rows of a table that is given by its columns."""
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
