"""The README's commands are commands that work."""

import importlib
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from resjax import flags

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"python -m (experiments\.\w+.*?)(?:`|$|#)", README, re.MULTILINE)))


def test_the_first_screen_has_the_two_commands():
    install = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e "
    first_screen = README[: README.index("\n## ")]
    assert f"\n{install}. && .venv/bin/python -m experiments.depth_scaling\n" in first_screen
    assert f"\n{install}'.[test]' && .venv/bin/python -m pytest\n" in first_screen


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_flags_that_exist(command):
    module, *arguments = shlex.split(command)
    flags.parse(importlib.import_module(module).Config, [module, *arguments])


def test_every_link_and_figure_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py")))
def test_help_shows_every_flag_and_imports_no_jax(experiment):
    if experiment == "peers":
        pytest.skip("is no experiment")
    script = f"import runpy, sys; sys.argv = ['{experiment}', '--help']\n" + (
        f"runpy.run_module('experiments.{experiment}', run_name='__main__'); assert 'jax' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--workdir=" in shown and f"python -m experiments.{experiment}" in shown
