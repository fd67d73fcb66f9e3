"""Sweeps: the product of values of any options, `--sweep='learning_rate=0.1,0.05 width=64,128'`."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from resjax.lab import names
from resjax.lab.config import Architecture, Running
from resjax.lab.defaults import NETWORKS, OUTSIDE, STYLE
from resjax.system.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Config = TypeVar("Config", bound=Running)
FALSE = ("false", "0")
TRUE = ("true", "1")


def combinations(config: Config) -> list[tuple[dict[str, Any], Config]]:
    """What is swept, by option, and the configuration with it, for every combination; one with nothing if none is.

    Raises:
      UserError: an option that there is not, or a value that it cannot have.
    """
    values = swept(config)
    found = []
    for chosen in itertools.product(*values.values()):
        combination = dict(zip(values, chosen, strict=True))
        found.append((combination, _replaced(config, combination)))
    return found


def swept(config: Running) -> dict[str, list[Any]]:
    """The values of every option that is swept."""
    known = {field.name: field for field in dataclasses.fields(config)}
    running = {field.name for field in dataclasses.fields(Running)} | {"preset"}
    found = {}
    for part in names.outside(" ".join(config.sweep.split()), " "):
        name, equals, text = part.partition("=")
        if not equals or not names.split(text):
            raise UserError(f"--sweep={config.sweep}: give option=value,value, and a space before the next option")
        if name not in known or name in running or name in found:
            hint = names.perhaps(name, known.keys() - running)
            raise UserError(
                f"--sweep={config.sweep}: {name!r} cannot be swept; give an option of this experiment{hint}"
            )
        found[name] = [_value(known[name], value, config) for value in names.split(text)]
        if len(set(found[name])) < len(found[name]):
            raise UserError(f"--sweep={config.sweep}: {part}: give different values")
    blocks = ",".join(found.get("block", [getattr(config, "block", "")]))
    for name in found.keys() & set(STYLE):
        if blocks and len(found[name]) > 1:
            raise UserError(f"--sweep={config.sweep}: {OUTSIDE.format(blocks)} {name}")
    return found


def fields(config: Running) -> dict[str, dataclasses.Field[Any]]:
    """The options that are swept, by name."""
    known = {field.name: field for field in dataclasses.fields(config)}
    return {name: known[name] for name in swept(config)}


def parted(
    tables: Mapping[str, "pd.DataFrame"], swept: Sequence[str]
) -> Iterator[tuple[dict[str, Any], dict[str, "pd.DataFrame"]]]:
    """Every combination that is in the tables, by option, and its rows; all rows if nothing is swept."""
    if not swept:
        yield {}, dict(tables)
        return
    first = next(table for table in tables.values() if set(swept) <= set(table.columns))
    for values in first[list(swept)].drop_duplicates().itertuples(index=False):
        chosen = dict(zip(swept, values, strict=True))
        own = {name: table[(table[list(swept)] == list(values)).all(axis=1)] for name, table in tables.items()}
        yield chosen, own


def _value(field: dataclasses.Field[Any], text: str, config: Running) -> Any:
    default: Any = field.default[0] if isinstance(field.default, tuple) else field.default
    try:
        if isinstance(default, bool):
            value: Any = {word: word in TRUE for word in FALSE + TRUE}[text.lower()]
        else:
            value = type(default)(text)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise UserError(f"--sweep={config.sweep}: {field.name}={text}: must be {wanted}") from None
    return value


def _replaced(config: Config, combination: dict[str, Any]) -> Config:
    """The configuration with these values; of another network it has what that network has by default."""
    values: dict[str, Any] = {
        field.name: (combination[field.name],) if isinstance(field.default, tuple) else combination[field.name]
        for field in dataclasses.fields(config)
        if field.name in combination
    }
    if "network" in values and isinstance(config, Architecture):
        own = NETWORKS.get(names.parse(config.network, "network")[0], NETWORKS["dense"])
        usual = {name: type(getattr(config, name))() for name in own if getattr(config, name) == own[name]}
        values = usual | values
    return dataclasses.replace(config, **values)
