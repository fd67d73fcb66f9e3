"""What a sweep consists of: the product of an experiment's flags, one command line a unit.

No JAX here: a sweep only starts experiments.
"""

import dataclasses
import hashlib
import importlib
import itertools
import json
import re
import shlex
from typing import Any

from resjax.lab import config as config_lib
from resjax.lab import flags, names
from resjax.system.errors import UserError

POINTS = ("depths", "connections", "norms")  # what is dealt out by default; the first changes slowest
REFUSED = {  # of the experiment's flags, and what to do instead
    "workdir": "give the sweep's before the --",
    "plot_only": "give --collect",
    "distributed": "a unit runs on one machine",
}
NAME = 80  # characters of a folder's name

Values = tuple[str, tuple[str, ...]]  # a flag, and values of it
Choice = tuple[tuple[str, str], ...]  # flags, each with one value


@dataclasses.dataclass(frozen=True)
class Combination:
    """One value of each flag of `--grid`: one run of the experiment, were it not split into units."""

    name: str  # of its folder; empty if there is no grid
    choice: Choice

    @property
    def flags(self) -> tuple[str, ...]:
        """It on a command line."""
        return tuple(f"--{name}={value}" for name, value in self.choice)


@dataclasses.dataclass(frozen=True)
class Unit:
    """One command line: the experiment with one value of each flag that is dealt out."""

    name: str  # of its folder
    combination: Combination
    chosen: Choice  # one value of each list

    @property
    def flags(self) -> tuple[str, ...]:
        """What it adds to the experiment's command line."""
        return (*self.combination.flags, *(f"--{name}={value}" for name, value in self.chosen))


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is asked for: an experiment's command line, and the flags whose values are dealt out."""

    command: tuple[str, ...]  # its module, then its flags
    over: str = ""  # lists of the experiment, of which a unit has one value each; empty: `POINTS`, if it has them
    grid: str = ""  # `flag=value,value` of its other flags: each combination is a run of its own

    @property
    def experiment(self) -> str:
        """The module of the experiment."""
        return self.command[0]

    def check(self):
        """Raises a UserError if there is no such experiment, flag or value, as far as flags can say it."""
        for unit in self.units():
            self.config(unit.flags)

    def config(self, also: tuple[str, ...] = ()):
        """The experiment's configuration, with more flags.

        Raises:
          UserError: they are wrong, or ask for what a sweep decides.
        """
        config = flags.parse(_config_class(self.experiment), [*self.command, *also])
        if config is None:
            raise UserError(f"--help: ask the experiment itself: python -m {self.experiment} --help")
        for name, instead in REFUSED.items():
            if getattr(config, name):
                raise UserError(f"--{name} behind --: {instead}")
        return config

    def asked(self) -> dict[str, Any]:
        """What tells sweeps apart, ready for JSON."""
        grid = {name: list(values) for name, values in self.alternatives()}
        asked = {"experiment": self.experiment, "over": [name for name, _ in self.lists()], "grid": grid}
        return asked | config_lib.relevant(self.config())

    def digest(self) -> str:
        """Eight hexadecimal digits that tell sweeps apart."""
        return hashlib.sha256(json.dumps(self.asked(), sort_keys=True).encode()).hexdigest()[:8]

    def units(self) -> list[Unit]:
        """The product of everything: for each combination, that of the lists."""
        alternatives = self.alternatives()
        lists = self.lists()
        units = []
        several = {name for name, values in (*alternatives, *lists) if len(values) > 1}
        for combination in self.combinations():
            for chosen in _product(lists):
                choice = (*combination.choice, *chosen)
                shown = tuple((name, value) for name, value in choice if name in several)
                units.append(Unit(_folder(len(units), shown), combination, chosen))
        return units

    def combinations(self) -> list[Combination]:
        """The product of `grid`; one without flags if there is none."""
        return [
            Combination(_folder(place, choice) if choice else "", choice)
            for place, choice in enumerate(_product(self.alternatives()))
        ]

    def lists(self) -> list[Values]:
        """The lists that are dealt out, and their values."""
        config = self.config()
        known = _flags(_config_class(self.experiment), several=True)
        over = names.split(self.over) or [name for name in POINTS if name in known]
        for name in over:
            if name not in known:
                has = ", ".join(known) or "none"
                raise UserError(f"--over={name}: {self.experiment} has no such list; it has {has}")
        return [(name, tuple(map(str, getattr(config, name)))) for name in over]

    def alternatives(self) -> list[Values]:
        """The flags of `grid`, and their values."""
        known = _flags(_config_class(self.experiment), several=False)
        found = []
        for part in shlex.split(self.grid):
            name, _, listed = part.lstrip("-").partition("=")
            values = names.split(listed)
            if name not in known:
                raise UserError(f"--grid={part}: {self.experiment} has no flag {name} of one value; --over takes lists")
            if not values or len(set(values)) < len(values):
                raise UserError(f"--grid={part}: give one value or several different ones, separated by commas")
            found.append((name, values))
        return found


def shard(text: str, units: list[Unit]) -> list[Unit]:
    """The i-th of n shares of the units, for `i/n`, counted from 1.

    Raises:
      UserError: it is not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    place, shares = map(int, match.groups()) if match else (0, 0)
    if not 1 <= place <= shares:
        raise UserError(f"--shard={text}: give i/n with i from 1 to n, as 1/4")
    return units[place - 1 :: shares]


def _product(alternatives: list[Values]) -> list[Choice]:
    keys = [name for name, _ in alternatives]
    return [tuple(zip(keys, values, strict=True)) for values in itertools.product(*(each for _, each in alternatives))]


def _folder(number: int, choice: Choice) -> str:
    """A readable name that is one folder, whatever stands in the choice."""
    text = "".join(f"-{name}={value}" for name, value in choice)
    return f"{number:03}" + re.sub(r"[^\w.=-]+", "_", text)[:NAME]


def _flags(config_class: type, several: bool) -> list[str]:
    """The experiment's flags that are lists, or those that are not, without those that a sweep gives itself."""
    running = {field.name for field in dataclasses.fields(config_lib.Running)}
    return [
        field.name.rstrip("_")
        for field in dataclasses.fields(config_class)
        if isinstance(field.default, tuple) == several and field.name not in running
    ]


def _config_class(module: str) -> type:
    try:
        found = importlib.import_module(module).Config
        if issubclass(found, config_lib.Running):
            return found
    except (ImportError, AttributeError, TypeError, ValueError):
        pass
    raise UserError(f"{module!r} is no experiment: give its module, as experiments.depth_scaling")
