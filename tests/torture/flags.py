"""Random command lines, most of them wrong: each is refused in one line, with exit code 2 and no traceback."""

import dataclasses
import random
import re
import shlex
from collections.abc import Iterator
from unittest import mock

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from resjax.lab.config import Running
from resjax.lab.site.gallery import ORDER as EXPERIMENTS
from resjax.lab.trial import Start, Trial
from resjax.lab.workdir import WorkDirectory
from tests.torture.commands import Commands, here, study
from tests.torture.verdicts import Ended, Tried

JUNK = (
    "", " ", ",", "=", "--", "nan", "inf", "-inf", "1e999", "0x10", "1_000", "½", "²", "None", "../..", "/etc/passwd",
    "os:system", "os:system(command='true')", "__import__('os')", "f(x=1", "f(x=__import__('os'))", "f()()",
    "scaled(beta=" + "(" * 300, "wide(factor=-1)", "wide(factor='a')", "dense(layers=[])", "dense(layers=2.5)",
    "crop(pad='a')", "step(at=0.5)", "normal(stddev=None)", "\0", "é" * 300, "a:b:c", ":", "..:a", "kaggle:a",
)  # fmt: skip
NUMBERS = st.one_of(st.integers(-3, 40), st.sampled_from((-(10**30), -(2**31))), st.floats(-1e3, 1e3)).map(str)
HUGE = st.sampled_from((2**31, 2**63, 10**30)).map(str)  # of a network, not how many there are: no list is so long
OF_A_NETWORK = {field.name for kind in (Start, Trial) for field in dataclasses.fields(kind)}


class Planned(BaseException):
    """The command line is a good one, and all that it asks for is planned."""


def command_lines(config_class: type) -> st.SearchStrategy[list[str]]:
    """Flags of an experiment, with values of theirs, such values spoilt, and values that nobody gives."""
    running = {field.name for field in dataclasses.fields(Running)} - {"shard"}
    fields = [field for field in dataclasses.fields(config_class) if field.name not in running]
    pair = st.sampled_from(fields).flatmap(lambda field: _values(field).map(lambda value: f"{field.name}={value}"))
    stray = st.tuples(st.text(max_size=9), st.text(max_size=9)).map("=".join)
    sweep = st.lists(pair, min_size=1, max_size=2).map(lambda pairs: f"sweep={' '.join(pairs)}")
    chosen = st.one_of(*[pair] * 8, sweep, stray).map(lambda text: f"--{text}")
    return st.lists(chosen, min_size=1, max_size=4)


def _values(field: dataclasses.Field) -> st.SearchStrategy[str]:
    element = field.default[0] if isinstance(field.default, tuple) else field.default
    known = {*re.findall(r"[\w.:]+(?:\([^)]*\))?", field.metadata["help"]), *map(str, field.metadata["choices"])}
    pool = [st.sampled_from([str(element), *sorted(known)]), NUMBERS, st.sampled_from(JUNK), st.text(max_size=20)]
    if field.name in OF_A_NETWORK and not isinstance(element, str):
        pool.append(HUGE)
    one = st.one_of(*pool, st.tuples(pool[0], st.integers(0, 20), st.text(max_size=3)).map(_spoil))
    return st.one_of(one, st.lists(one, max_size=3).map(",".join)) if isinstance(field.default, tuple) else one


def _spoil(drawn: tuple[str, int, str]) -> str:
    text, place, inserted = drawn
    return text[:place] + inserted + text[place + 1 :]


def tried(commands: Commands, times: int, draw: random.Random) -> Iterator[Tried]:
    """So many command lines: whether each was refused as it should be, or a good one."""
    for number, experiment in enumerate(EXPERIMENTS):
        if share := times // len(EXPERIMENTS) + (number < times % len(EXPERIMENTS)):
            yield from _tried(experiment, share, draw.randrange(2**32))


def _tried(experiment: str, times: int, number: int) -> list[Tried]:
    rows = []

    @seed(number)
    @settings(max_examples=times, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(command_lines(study(experiment).config))
    def one(arguments):
        ended = planned(experiment, arguments)
        fault = "" if refused(ended) else f"{experiment} {shlex.join(arguments)}: exit code {ended.code}: {ended.err}"
        kind = "good" if ended.code == 0 else "bad"
        rows.append(Tried("command line", kind, lost=fault, named=ended.code == 2))

    one()
    return rows


def planned(experiment: str, arguments: list[str]) -> Ended:
    """How a command ends that is left where it would open its work directory."""
    with mock.patch.object(WorkDirectory, "open", side_effect=Planned):
        try:
            return here(experiment, *arguments)
        except Planned:
            return Ended(0, "", "")


def refused(ended: Ended) -> bool:
    """Whether a command has ended as it should: well, or with one line and its code."""
    one_line = ended.err.count("\n") == 1 and "Traceback" not in ended.err
    return (ended.code, ended.err) == (0, "") or (ended.code == 2 and one_line)
