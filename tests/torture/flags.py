"""Random command lines, most of them wrong: each is refused in one line, with exit code 2 and no traceback."""

import dataclasses
import importlib
import pathlib
import random
import re
import shlex
from collections.abc import Iterator
from unittest import mock

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from resjax.lab.config import Point, Running
from resjax.lab.workdir import WorkDirectory
from tests.torture.commands import Commands, called

EXPERIMENTS = (
    "depth_scaling", "depth_frontier", "signal_propagation", "shattered_gradients", "normalization", "initialization",
    "identity", "learning_rate", "stochastic_depth", "lesions", "paths", "ensembles", "invertibility",
    "invertible_resnet", "shortcuts", "landscape", "optimization",
)  # fmt: skip
JUNK = (
    "", " ", ",", "=", "--", "nan", "inf", "-inf", "1e999", "0x10", "1_000", "½", "²", "None", "../..", "/etc/passwd",
    "os:system", "os:system(command='true')", "__import__('os')", "f(x=1", "f(x=__import__('os'))", "f()()",
    "scaled(beta=" + "(" * 300, "wide(factor=-1)", "wide(factor='a')", "dense(layers=[])", "dense(layers=2.5)",
    "crop(pad='a')", "step(at=0.5)", "normal(stddev=None)", "\0", "é" * 300, "a:b:c", ":", "..:a", "kaggle:a",
)  # fmt: skip
NUMBERS = st.one_of(st.integers(-3, 40), st.sampled_from((-(10**30), -(2**31))), st.floats(-1e3, 1e3)).map(str)
HUGE = st.sampled_from((2**31, 2**63, 10**30)).map(str)  # of a network, not how many there are: no list is so long


class Planned(BaseException):
    """The command line is a good one, and all that it asks for is planned."""


def command_lines(config_class: type) -> st.SearchStrategy[list[str]]:
    """Flags of an experiment, with values of theirs, such values spoilt, and values that nobody gives."""
    running = {field.name for field in dataclasses.fields(Running)}
    fields = [field for field in dataclasses.fields(config_class) if field.name not in running]
    flag = st.sampled_from(fields).flatmap(lambda field: _values(field).map(lambda value: (field.name, value)))
    stray = st.tuples(st.text(max_size=9), st.text(max_size=9))
    chosen = st.one_of(*[flag] * 9, stray).map(lambda pair: f"--{pair[0].rstrip('_')}={pair[1]}")
    return st.lists(chosen, min_size=1, max_size=4)


def _values(field: dataclasses.Field) -> st.SearchStrategy[str]:
    element = field.default[0] if isinstance(field.default, tuple) else field.default
    known = sorted(
        {*re.findall(r"[\w.:]+(?:\([^)]*\))?", field.metadata["help"]), *map(str, field.metadata["choices"])}
    )
    pool = [st.sampled_from([str(element), *sorted(known)]), NUMBERS, st.sampled_from(JUNK), st.text(max_size=20)]
    if field.name in {field.name for field in dataclasses.fields(Point)} and not isinstance(element, str):
        pool.append(HUGE)
    one = st.one_of(*pool, st.tuples(pool[0], st.integers(0, 20), st.text(max_size=3)).map(_spoil))
    return st.one_of(one, st.lists(one, max_size=3).map(",".join)) if isinstance(field.default, tuple) else one


def _spoil(drawn: tuple[str, int, str]) -> str:
    text, place, inserted = drawn
    return text[:place] + inserted + text[place + 1 :]


def tried(commands: Commands, reference: pathlib.Path, times: int, draw: random.Random) -> Iterator[dict]:
    """A row for every command line: whether it was refused as it should be, or a good one."""
    for number, experiment in enumerate(EXPERIMENTS):
        if share := times // len(EXPERIMENTS) + (number < times % len(EXPERIMENTS)):
            yield from _tried(commands, experiment, share, draw.randrange(2**32))


def _tried(commands: Commands, experiment: str, times: int, number: int) -> list[dict]:
    rows = []

    @seed(number)
    @settings(max_examples=times, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(command_lines(importlib.import_module(f"experiments.{experiment}").Config))
    def one(arguments):
        code, err = planned(experiment, arguments)
        if not (well := refused(code, err)):
            commands.say(f"{experiment} {shlex.join(arguments)}: exit code {code}: {err}")
        kind = "good" if code == 0 else "bad"
        rows.append({"what": "command line", "where": kind, "named": int(code == 2), "lost": int(not well)})
        commands.advance()

    one()
    return rows


def planned(experiment: str, arguments: list[str]) -> tuple[int, str]:
    """The exit code, and what stands on stderr, of a command that ends where a work directory would be opened."""
    with mock.patch.object(WorkDirectory, "open", side_effect=Planned):
        try:
            return called(f"experiments.{experiment}", arguments)
        except Planned:
            return 0, ""


def refused(code: int, err: str) -> bool:
    """Whether a command has ended as it should: well, or with one line and its code."""
    return (code, err) == (0, "") or (code == 2 and err.count("\n") == 1 and "Traceback" not in err)
