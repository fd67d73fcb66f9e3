"""The examples of docs/extending.md run, in Python and on the command line, and are what they say they are."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import jax
import jax.numpy as jnp
import pandas as pd
import pytest
from commands import ROOT
from helpers import close

import resjax as rj
from resjax.nn.place import Place
from tests.torture.commands import here

PAGE = (pathlib.Path(__file__).parent.parent / "docs/extending.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.py)\n")  # the first line of an example that belongs into a file
COMMANDS = re.findall(r"^python -m experiments\.(.* --.*mine:.*)$", PAGE, re.MULTILINE)
SMALL = ("--depths=8", "--width=4", "--steps=20")
SLOW = re.compile("Repeat|Swish|halves|^lesions|^wirings|^depth_scaling --connections='residual,mine:Streams")
OF_ITS_OWN = {  # experiments that have other options, or other depths
    "signal_propagation": ("--depths=8", "--width=4", "--networks=0"),
    "lesions": (*SMALL, "--draws=1", "--deletions=1", "--swapped=1"),
    "wirings": ("--depths=6", "--width=4", "--steps=21", "--learning_rates=0.003,0.01"),
}


@pytest.fixture(scope="module")
def names():
    """What all examples, run one after the other, define."""
    found = {}
    for block in BLOCKS:
        exec(block, found)
    return found


def test_every_example_in_python_runs(names):
    assert names["result"].diverged is None and names["result"].steps == 20
    assert len(names["table"]) == names["mixer"].length


def test_every_part_that_is_named_is_there(names):
    assert set(re.findall(r"mine:(\w+)", PAGE)) <= names.keys()


@pytest.fixture
def mine(tmp_path):
    """A folder with the files that the page says to write."""
    for block in BLOCKS:
        if file := FILE.match(block):
            with (tmp_path / file[1]).open("a") as opened:
                opened.write(block)
    return tmp_path


@pytest.mark.parametrize(
    "command", [pytest.param(one, marks=pytest.mark.slow) if SLOW.search(one) else one for one in COMMANDS]
)
def test_every_command_with_parts_of_ones_own_runs(command, mine, monkeypatch):
    monkeypatch.syspath_prepend(mine)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    experiment, *options = shlex.split(command)
    ended = here(experiment, *options, *OF_ITS_OWN.get(experiment, SMALL), f"--workdir={mine}/run")
    assert (ended.code, ended.err) == (0, "") and (mine / "run/results.csv").exists()


def test_several_streams_start_as_the_residual_network(names):
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    logits = []
    for connection in (rj.nn.Residual(), names["Streams"](streams=3)):
        network = rj.models.dense(10, width=8, connection=connection, norm=rj.nn.LayerNorm())
        logits.append(network.apply(*network.init(jax.random.key(1), x), x)[0])
    close(*logits, tolerance=1e-5)


def test_the_factors_of_a_connection_are_what_it_multiplies_with(names):
    x, f = jax.random.normal(jax.random.key(0), (2, 4, 6))
    place = Place(jnp.asarray(3), 5)
    a, b = names["Damped"]().factors(place)
    close(names["Damped"]().write(x, f, None, place), a * x + b * f, tolerance=1e-6)


def test_a_shortcut_of_ones_own_halves_the_image_and_repeats_it(names):
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    y = names["Repeat"](features=2, stride=2).apply({}, x, train=False)
    close(y[0, :, :, 0], jnp.asarray([[0.0, 2.0], [8.0, 10.0]]))
    assert y.shape == (1, 2, 2, 2) and (y[..., 1] == y[..., 0]).all()


def test_the_study_runs_and_a_sweep_of_it_has_a_column(tmp_path):
    (code,) = (block for block in BLOCKS if block.startswith("# dead.py"))
    (tmp_path / "dead.py").write_text(code)
    options = ("--depths=4", "--connections=residual", "--width=4", "--steps=20", "--workdir=run")
    command = [sys.executable, "-m", "dead", *options, "--sweep=learning_rate=0.05,0.01"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}, check=True)
    table = pd.read_csv(tmp_path / "run/results.csv")
    assert list(table["learning_rate"]) == [0.05, 0.01] and table["dead"].between(0, 1).all()
