"""Options: the fields of a frozen dataclass, each with its default, its limits and what `--help` says of it.

No JAX here, so that `--help` is fast.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from resjax.lab import names
from resjax.system.errors import UserError

LARGEST = 2**31 - 1  # whole number, that of the device's own counters
SEEDS = 10_000  # of each network: more would fill the memory with lists of what there is to do


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    distinct: bool = True,
    changes_results: bool = True,
) -> Any:
    """A field of a configuration, and the flag of its name.

    Args:
      default: its type is the flag's type; a tuple becomes a comma-separated list.
      help: what `--help` says.
      minimum, maximum: the smallest and the largest value allowed, of every element for a tuple.
      choices: the values allowed; empty allows all.
      distinct: whether the elements of a tuple must be different.
      changes_results: False for what may differ when a run is taken up again (`--workdir`).
    """
    limits = {"minimum": minimum, "maximum": maximum, "choices": choices, "distinct": distinct}
    return dataclasses.field(default=default, metadata=limits | {"help": help, "changes_results": changes_results})


@dataclasses.dataclass(frozen=True)
class Options:
    """A configuration whose values are within the limits of their options."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if not field.metadata:
                continue  # no option: what stands behind `--`
            value = getattr(self, field.name)
            for element in _elements(value):
                _check(field, element)
            if isinstance(value, tuple) and (
                not value or (field.metadata["distinct"] and len(set(value)) < len(value))
            ):
                raise UserError(f"--{field.name}={','.join(map(str, value))}: give one value or several different ones")


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    minimum, maximum, choices = (field.metadata[name] for name in ("minimum", "maximum", "choices"))
    whole = isinstance(value, int) and not isinstance(value, bool)
    if maximum is None and whole and value > 0:
        maximum = SEEDS if field.name == "seeds" else LARGEST
    if minimum is not None and not value >= minimum:  # also refuses nan
        raise UserError(f"--{field.name}={value}: must be at least {minimum}")
    if maximum is not None and not value <= maximum:
        raise UserError(f"--{field.name}={value}: must be at most {maximum}")
    if isinstance(value, float) and math.isinf(value) and value not in _elements(field.default):
        raise UserError(f"--{field.name}={value}: must be finite")
    if choices and value not in choices:
        near = names.perhaps(value, choices)
        raise UserError(f"--{field.name}={value}{near}: must be one of {', '.join(filter(None, choices))}")


def _elements(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def one_each(config: Any, *names: str) -> tuple[Any, ...]:
    """The only value of each of these options.

    Raises:
      UserError: one has several, whose networks an experiment would take together.
    """
    for name in names:
        given = ",".join(map(str, getattr(config, name)))
        if len(getattr(config, name)) > 1:
            raise UserError(f"--{name}={given}: give one value, or --sweep='{name}={given}': a figure for each")
    return tuple(getattr(config, name)[0] for name in names)


def relevant(config: Any) -> dict[str, Any]:
    """The values that decide the results, ready for JSON."""
    return {
        field.name: _plain(getattr(config, field.name), field.default)
        for field in dataclasses.fields(config)
        if field.metadata.get("changes_results")
    }


def differing(config: Any, usual: Any) -> dict[str, Any]:
    """Those of the values that decide the results which are not those of `usual`, by name, ready for JSON."""
    defaults = relevant(usual)
    return {name: value for name, value in sorted(relevant(config).items()) if value != defaults[name]}


def _plain(value: Any, default: Any) -> Any:
    """A value for JSON, equal for equal values: 1 and 1.0 are one if the default is a float."""
    if isinstance(value, tuple):
        return [_plain(element, default[0]) for element in value]
    return float(value) if isinstance(default, float) else value
