"""The notebook runs, cell by cell, and is as short as it says."""

import json
import pathlib

import matplotlib

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


def test_every_cell_runs():
    names = {}
    for cell in cells("code"):
        exec(compile(cell, str(NOTEBOOK), "exec"), names)
    assert names["result"].diverged is None and names["result"].train_accuracy > 0.9
    assert names["result"].network.depth == 1000
    table = names["table"]
    assert len(table) == names["plain"].length == 499
