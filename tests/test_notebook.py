"""The notebook runs, cell by cell, and is as short as it says."""

import json
import pathlib
from types import MappingProxyType

import matplotlib
import pytest

matplotlib.use("Agg")

NOTEBOOK = pathlib.Path(__file__).parent.parent / "docs/first_steps.ipynb"
LINES = 30  # of code, to the picture of gradients


def cells(kind):
    """The texts of its cells of one kind."""
    found = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def test_from_arrays_to_the_picture_takes_few_lines():
    first = cells("code")[:3]
    lines = [line for line in "\n".join(first).splitlines() if line.strip()]
    assert len(lines) <= LINES and "plt.semilogy" in first[-1]


SMALLER = {
    "dense(1000": "dense(20",
    "steps=150": "steps=20",
    "length=200": "length=10",
    "steps=100": "steps=20",
    "depth=200": "depth=6, against={}",
}


def ran(smaller=MappingProxyType({})):
    """What all cells define, run one after the other, with other texts for some in them."""
    names = {}
    code = "\n".join(cells("code"))
    for text, other in smaller.items():
        assert text in code, text
        code = code.replace(text, other)
    exec(compile(code, str(NOTEBOOK), "exec"), names)
    return names


def test_every_cell_runs_with_smaller_networks():
    names = ran(SMALLER)
    assert names["result"].diverged is None and names["result"].network.depth == 20
    assert len(names["table"]) == names["plain"].length == 9
    assert "depth 6" in names["report"].verdict


@pytest.mark.slow
def test_every_cell_runs():
    names = ran()
    assert names["result"].diverged is None and names["result"].train_accuracy > 0.9
    assert names["result"].network.depth == 1000
    table = names["table"]
    assert len(table) == names["plain"].length == 499
