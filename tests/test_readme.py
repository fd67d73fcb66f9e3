"""The README's commands, those of the docstrings, and the example of a fork are tried, so that they stay true."""

import dataclasses
import importlib
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from commands import run

from resjax.lab import flags

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FOLDERS = ("benchmarks", "experiments", "resjax", "tests/torture")
SOURCES = [path.read_text() for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TEXT = re.sub(r"\\\\\n +", "", "\n".join([README, *SOURCES]))  # a command may go on in the next line
MODULE = r"(?:(?:benchmarks|experiments|resjax)\.[a-z_]+|tests\.torture)"
COMMANDS = sorted(set(re.findall(rf"python -m ({MODULE}(?![^`#\n]*{{)[^`#\n]*)", TEXT)))


def imported(command):
    """The module that a command runs; a package has it in a file of its own."""
    module = importlib.import_module(command)
    return importlib.import_module(f"{command}.__main__") if hasattr(module, "__path__") else module


def test_the_first_screen_has_the_two_commands():
    install = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e "
    first_screen = README[: README.index("\n## ")]
    assert f"\n{install}. && .venv/bin/python -m experiments.depth_scaling\n" in first_screen
    assert f"\n{install}'.[test]' && .venv/bin/python -m pytest\n" in first_screen


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_flags_that_exist(command):
    module, *arguments = shlex.split(command)
    flags.parse(imported(module).Config, [module, *arguments])


def test_every_link_and_figure_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_example_in_python_runs():
    code, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(code.replace("steps=200", "steps=2").replace("resnet(20,", "resnet(8, width=4,"), names)
    assert len(names["table"]) == names["network"].length and names["result"].steps == 2


def test_the_example_of_a_fork_runs(tmp_path, monkeypatch):
    _, code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "highway.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (connections,) = re.findall(r"--connections=(\S*highway:Highway\S*)", README)
    small = ["--depths=4", "--norms=none", "--width=8", "--steps=20", f"--workdir={tmp_path}/run"]
    command = ["--connections=" + shlex.split(connections)[0], *small]
    code, _, err = run("depth_scaling", *command)
    assert (code, err) == (0, "") and "highway:Highway" in (tmp_path / "run/results.csv").read_text()


@pytest.mark.parametrize("module", sorted({command.split()[0] for command in COMMANDS}))
def test_help_shows_the_flags_and_imports_no_jax(module):
    script = f"""
import runpy, sys
sys.argv = ["command", "--help"]
runpy.run_module("{module}", run_name="__main__", alter_sys=True)
assert "jax" not in sys.modules
"""
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"python -m {module}" in shown
    names = (field.name.rstrip("_") for field in dataclasses.fields(imported(module).Config))
    assert all(f"--{name}=" in shown for name in names)
