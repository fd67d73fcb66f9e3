"""From the command line to a frozen dataclass, with absl's flags.

Each command has its own `FlagValues`: nothing is global, and library and tests never see a flag.
"""

import dataclasses
import importlib
import inspect
import io
import os
import pathlib
import signal
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from resjax.lab import names, presets
from resjax.lab.config import Architecture, Optimization, Probing, Running, Training, Tuning, Watching, Writing
from resjax.system import distributed, interrupts
from resjax.system.errors import UserError

GROUPS = {
    Architecture: "The network",
    Optimization: "Training",
    Training: "Training",
    Tuning: "Training",
    Watching: "Training",
    Probing: "How networks are read",
    Writing: "Running",
    Running: "Running",
}
TOPICS: dict[str, Callable[[], str]] = {"presets": presets.described}  # that `--help=TOPIC` has a page on
COMMAND = "command"  # the field of a configuration that holds another command: `launcher --flags -- command --flags`


class _ListParser(flags.ArgumentParser):
    """`4,20,1000` or `plain,scaled(beta=0.1)` -> a tuple of numbers or names."""

    def __init__(self, element: type):
        super().__init__()
        self.element = element
        kind = {int: "whole numbers", float: "numbers", str: "names"}[element]
        self.syntactic_help = f"comma-separated {kind}"

    def parse(self, argument: str | tuple[Any, ...]) -> tuple[Any, ...]:
        if isinstance(argument, tuple):
            return argument
        try:
            return tuple(self.element(part) for part in names.split(argument))
        except ValueError:
            raise ValueError(f"expected {self.syntactic_help}") from None

    def flag_type(self) -> str:
        return self.syntactic_help


class _ListSerializer(flags.ArgumentSerializer):
    def serialize(self, value: tuple[Any, ...]) -> str:
        return ",".join(map(str, value))


class _HelpParser(flags.BooleanParser):
    """`--help`, or `--help=TOPIC`."""

    def parse(self, argument: Any) -> Any:
        if argument in TOPICS:
            return argument
        try:
            return super().parse(argument)
        except ValueError:
            raise ValueError(f"must stand alone, or be one of {', '.join(TOPICS)}") from None


class _HelpFlag(flags.BooleanFlag):
    """A flag that needs no value, and may have one."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.parser = _HelpParser()


def define(config_class: type) -> flags.FlagValues:
    """One flag a field of the dataclass, with its default, type and help."""
    values = flags.FlagValues()
    for field in _flagged(config_class):
        arguments: dict[str, Any] = dict(
            name=field.name, default=field.default, help=field.metadata["help"], flag_values=values
        )
        if isinstance(field.default, tuple):
            parser = _ListParser(type(field.default[0]))
            flags.DEFINE(parser, serializer=_ListSerializer(), **arguments)
        else:
            kinds: dict[type, Callable[..., Any]] = {
                bool: flags.DEFINE_bool,
                int: flags.DEFINE_integer,
                float: flags.DEFINE_float,
                str: flags.DEFINE_string,
            }
            kinds[type(field.default)](**arguments)
    flags.DEFINE_flag(_HelpFlag("help", False, "show this help", short_name="h"), flag_values=values)
    return values


def _flagged(config_class: type) -> list[dataclasses.Field[Any]]:
    """The fields that have a flag: all but `command`, which is what stands behind `--`."""
    return [field for field in dataclasses.fields(config_class) if field.name != COMMAND]


def parse(config_class: type, argv: Sequence[str]) -> Any:
    """The configuration that `argv` (program name first) asks for; for help, the name of its topic, or "".

    Raises:
      UserError: an unknown flag, a value of the wrong type or out of range, a stray argument.
    """
    values = define(config_class)
    argv = list(argv)
    takes_command = COMMAND in {field.name for field in dataclasses.fields(config_class)}
    end = argv.index("--") if takes_command and "--" in argv else len(argv)
    try:
        rest = values(argv[:end])[1:]
    except flags.Error as error:
        raise UserError(" ".join(str(error).split())) from error
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}: flags are given as --name=value")
    if values.help:
        return values.help if values.help in TOPICS else ""
    chosen: dict[str, Any] = {field.name: values[field.name].value for field in _flagged(config_class)}
    if end + 1 < len(argv):
        chosen[COMMAND] = tuple(argv[end + 1 :])
    if chosen.get("preset"):
        _fill(chosen, presets.recipe(chosen["preset"]), given={name for name in values if values[name].present})
    return config_class(**chosen)


def _fill(chosen: dict[str, Any], recipe: dict[str, Any], given: set[str]) -> None:
    """Puts a recipe's values where no flag was given; an experiment that takes several (`depths`) gets one."""
    if "dataset" in given and chosen["dataset"] != recipe["dataset"]:
        raise UserError(
            f"--preset={chosen['preset']} is for {recipe['dataset']} ({presets.IMAGES[recipe['dataset']]} images), "
            f"not for --dataset={chosen['dataset']}"
        )
    for name, value in recipe.items():
        name = name if name in chosen else name + "s"
        if name in chosen and not {name, f"{name}s"} & given:
            several = isinstance(chosen[name], tuple) and not isinstance(value, tuple)
            chosen[name] = (value,) if several else value


def command_line(config: Any, changed: dict[str, Any]) -> list[str]:
    """The flags that ask for a configuration with some values changed: those of them that are not the defaults."""
    values = {field.name: getattr(config, field.name) for field in _flagged(type(config))} | changed
    usual = {field.name: field.default for field in _flagged(type(config))}
    return spelled({name: value for name, value in values.items() if value != usual[name] and name != "preset"})


def spelled(values: Mapping[str, Any]) -> list[str]:
    """The flags that give these values."""
    return [f"--{name}={','.join(map(str, v)) if isinstance(v, tuple | list) else v}" for name, v in values.items()]


def main(
    config_class: type,
    run: Callable[[Any], None],
    module: types.ModuleType | None = None,
    argv: Sequence[str] | None = None,
) -> None:
    """Runs a command: parses the flags, calls `run(config)`, and turns errors into one line and a code.

    `module`, that of `run` unless given, has the command's name and, in its docstring, the help; `argv` is sys.argv.

    Exit codes: 0 done, 2 the user's mistake, 1 any other named failure, 128 + n stopped by signal n.
    """
    module = module or inspect.getmodule(run)
    assert module and module.__file__  # a command is a file
    several = False
    path = pathlib.Path(module.__file__)
    command = path.parent.name if path.stem == "__main__" else path.stem

    def leave(message: Any, code: int) -> None:
        print(f"{command}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
        if several and code < 128:
            os._exit(code)  # at once: the usual way out waits for the other processes, which wait for this one
        sys.exit(code)

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # of a terminal that has not every letter
            stream.reconfigure(errors="backslashreplace")
    for number in interrupts.STOPPING:
        signal.signal(number, interrupts.end)
    try:
        config = parse(config_class, sys.argv if argv is None else argv)
        if isinstance(config, str):
            print(TOPICS[config]() if config else _help(module, config_class))
            return
        _import_jax()
        several = getattr(config, "distributed", False)
        if several:
            distributed.start(config, command)
        flags.FLAGS.mark_as_parsed()  # Grain's workers ask for absl's global flags, which resjax does not use
        run(config)
    except UserError as error:
        leave(error, error.exit_code)
    except OSError as error:
        leave(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), 1)
    except RuntimeError as error:
        if not several:
            raise
        leave(f"{error}; if another process is gone, the same command on all goes on from the last checkpoint", 1)


def _import_jax() -> None:
    """Refuses values of JAX's own environment variables that it cannot read, which its import would end with."""
    try:
        importlib.import_module("jax")
    except ValueError as error:
        raise UserError(str(error)) from error


def _help(module: types.ModuleType, config_class: type) -> str:
    lines = [inspect.getdoc(module) or ""]
    for group in ("This command's own", *dict.fromkeys(GROUPS.values())):
        fields = [field for field in _flagged(config_class) if _group(field, config_class) == group]
        lines += ["", f"{group}:"] if fields else []
        for field in fields:
            default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
            allowed = [choice for choice in field.metadata["choices"] if choice]
            choices = f"; one of {', '.join(allowed)}" if allowed else ""
            lines += [f"  --{field.name}={default}", f"      {field.metadata['help']}{choices}"]
    return "\n".join(lines)


def _group(field: dataclasses.Field[Any], config_class: type) -> str:
    """The heading under which a flag stands: by the class that defines it last."""
    owner = next(kind for kind in config_class.__mro__ if field.name in inspect.get_annotations(kind))
    return GROUPS.get(owner, "This command's own")
