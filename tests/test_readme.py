"""What README and guides say is tried, so that it stays true: commands, links, examples, numbers."""

import dataclasses
import importlib
import math
import pathlib
import re
import shlex
import subprocess
import sys

import matplotlib
import pandas as pd
import pytest

from benchmarks import accelerator, anatomy
from resjax.lab import flags, registry

matplotlib.use("Agg")

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
FOLDERS = ("benchmarks", "experiments", "launch", "resjax", "tests/torture")
SOURCES = [path.read_text() for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TEXT = re.sub(r"\\\\?\n +", "", "\n".join([*PAGES.values(), *SOURCES]))  # a command may go on in the next line
MODULE = r"(?:(?:benchmarks|experiments|launch|resjax)\.[a-z_]+|tests\.torture)"
COMMANDS = sorted(set(re.findall(rf"python -m ({MODULE}(?![^`#\n]*{{)[^`#\n]*)", TEXT)) - {"experiments.NAME"})
LINKS = sorted(
    (page, target)
    for page, text in PAGES.items()
    for target in set(re.findall(r'(?:\]\(|src=")([^)"\s]+)', text))
    if not target.startswith("http")
)
EXPERIMENTS = {path.stem for path in (ROOT / "experiments").glob("*.py") if "__main__" in path.read_text()}


def imported(command):
    """The module that a command runs; a package has it in a file of its own."""
    module = importlib.import_module(command)
    return importlib.import_module(f"{command}.__main__") if hasattr(module, "__path__") else module


def anchors(page):
    """What a link to a heading of a page is called, as GitHub does."""
    headings = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def between(page, mark):
    """The text between two marks."""
    return PAGES[page].partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0]


def cells(page, mark):
    """The rows of a table between two marks, without its head."""
    lines = [line for line in between(page, mark).splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_first_screen_has_the_two_commands():
    install = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e "
    first_screen = README[: README.index("\n## ")]
    assert f"\n{install}. && .venv/bin/python -m experiments.depth_scaling\n" in first_screen
    assert f"\n{install}'.[test]' && .venv/bin/python -m pytest\n" in first_screen


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120
    found = between("README.md", "found").strip().splitlines()
    assert len(found) == 6 and all(line.count("](") == 1 and line.count("**") == 2 for line in found)


def test_every_experiment_is_in_the_table():
    assert sorted(re.findall(r"gallery\.md#\w+\) \| `(\w+)`", README)) == sorted(EXPERIMENTS)


def test_every_network_is_in_the_table():
    table = README.partition("## Networks")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == set(registry.NETWORKS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_flags_that_exist(command):
    module, *arguments = shlex.split(command.replace("BUCKET", "bucket"))  # a place for the reader's own name
    if config := getattr(imported(module), "Config", None):
        flags.parse(config, [module, *arguments])
    if "--" in arguments:  # the experiment that a launcher starts
        experiment, *arguments = arguments[arguments.index("--") + 1 :]
        flags.parse(imported(experiment).Config, [experiment, *arguments])


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_every_link_leads_somewhere(page, link):
    target, _, anchor = link.partition("#")
    path = (ROOT / page).parent / target if target else ROOT / page
    assert path.exists(), target
    if anchor:
        assert anchor in anchors(str(path.resolve().relative_to(ROOT.resolve())))


def test_the_example_in_python_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    smaller = {
        "steps=200": "steps=2",
        "dense(1000,": "dense(10, width=4,",
        "depth=1000": "depth=6, steps=5, against={}",
    }
    for text, other in smaller.items():
        assert text in code
        code = code.replace(text, other)
    exec(code, names)
    assert len(names["table"]) == names["network"].length and names["result"].steps == 2


def test_the_parameters_that_the_example_counts_are_the_papers():
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["docs/performance.md"], re.DOTALL)
    names = {}
    exec(code, names)
    assert names["parameters"] == 853_018  # He et al. 2015, table 6: 0.85M


def test_what_depth_costs_is_what_was_measured():
    table = pd.read_csv(ROOT / "results/throughput/results.csv")
    said = cells("docs/performance.md", "throughput")
    assert [what for what, *_ in said] == list(table["what"])
    for (_, *numbers), measured in zip(said, table[["ratio", "at_most"]].itertuples(index=False), strict=True):
        for text, number in zip(numbers, measured, strict=True):
            text = text.removesuffix(" ×")
            assert text == f"{number:.{len(text.partition('.')[2])}f}"


def test_the_groups_of_an_accelerator_are_those_that_it_measures():
    assert tuple(group for group, _ in cells("docs/performance.md", "groups")) == accelerator.GROUPS


def test_what_limits_scale_is_what_was_compiled():
    table = pd.read_csv(ROOT / "results/scale/results.csv")
    table["network"] += " " + table["layers"].astype(str)
    sizes = ["state_bytes", "temporary_bytes", "received_bytes"]
    table[sizes] = table[sizes] / 2**30
    said = cells("docs/performance.md", "scale")
    shown = ["network", "layout", "chips", "state_bytes", "temporary_bytes", "collectives", "received_bytes"]
    shown += [f"{chip}_{what}" for chip in ("v5e", "v6e") for what in ("compute_ms", "links_ms", "limit")]
    for line, values in zip(said, table[shown].itertuples(index=False), strict=True):
        for text, value in zip(line, values, strict=True):
            digits = len(text.partition(".")[2])
            assert text == (value if isinstance(value, str) else f"{value:.{digits}f}")


def test_where_the_time_goes_is_what_was_looked_at():
    table = pd.read_csv(ROOT / "results/anatomy/results.csv")
    table["share"] *= 100
    first, second = (table[table["run"] == run].reset_index() for run in ("first", "second"))
    for at, (part, *numbers) in enumerate(cells("docs/performance.md", "anatomy")):
        assert first["part"][at] == second["part"][at] == part
        assert numbers == [f"{run[name][at]:.1f}" for run in (first, second) for name in ("seconds", "share")]
    assert at == len(first) - 1
    training = [run.loc[run["part"].isin(anatomy.TRAINING), "share"].sum() / 100 for run in (first, second)]
    said = re.search(
        r"first run takes (\S+) × the time of its training, and the second\s+(\S+) ×", PAGES["docs/performance.md"]
    )
    assert said and said.groups() == tuple(f"{1 / own:.2f}" for own in training)


def test_where_a_step_goes_is_what_was_profiled():
    table = pd.read_csv(ROOT / "results/operations/results.csv")
    table["share"] *= 100
    names = ["milliseconds", "share", "gigaflops", "flop_share", "gigabytes", "byte_share", "torch_milliseconds"]
    for (kind, *said), row in zip(cells("docs/performance.md", "operations"), table.itertuples(), strict=True):
        assert kind == row.kind
        for text, number in zip(said, (getattr(row, name) for name in names), strict=True):
            assert text == ("" if math.isnan(number) else f"{number:.{len(text.partition('.')[2])}f}")


def test_the_torture_is_as_it_was_counted():
    counts = ["times", "named", "lost", "silent"]
    table = pd.read_csv(ROOT / "results/torture/results.csv").groupby("what", sort=False)[counts].sum()
    said = {what: [int(cell) for cell in counts] for what, *counts in cells("docs/robustness.md", "torture")}
    assert said == {what: list(counts) for what, *counts in table.itertuples()}


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
    config = getattr(imported(module), "Config", None)
    names = (field.name.rstrip("_") for field in dataclasses.fields(config)) if config else ()
    assert all(f"--{name}=" in shown for name in names if name != flags.COMMAND)
