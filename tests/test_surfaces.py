"""Figures of the loss around networks, from tables made by hand."""

import itertools

import numpy as np
import pandas as pd
from etils import epath

from experiments import landscape
from resjax.lab import surfaces
from resjax.lab.canvas import Canvas

PLACES = np.linspace(-1, 1, 5)


def networks(rows, depths=(6, 20)):
    """The rows for two connections at each depth, of which plain at the largest has none: it has diverged."""
    kinds = [kind for kind in itertools.product(("residual", "plain"), depths) if kind != ("plain", max(depths))]
    named = [
        rows.assign(statistics="running", connection=connection, norm="batch", width=8, depth=depth, seed=0)
        for connection, depth in kinds
    ]
    return pd.concat(named, ignore_index=True)


def tables():
    x, y = (side.ravel() for side in np.meshgrid(PLACES, PLACES))
    loss = x**2 + 10 * y**2
    loss[:3] = np.nan, np.inf, 0
    plane = pd.concat([pd.DataFrame({"plane": name, "x": x, "y": y, "loss": loss}) for name in ("random", "pca")])
    line = pd.DataFrame({"line": np.repeat([0, 1], 5), "x": np.tile(PLACES, 2), "loss": np.tile(PLACES**2, 2)})
    curved = pd.DataFrame({"plane": "random", "x": x, "y": y, "lambda_max": 1 + y, "lambda_min": -x})
    way = pd.DataFrame({"step": [0, 1, 2], "x": [0.5, 0.2, 0.0], "y": [0.1, 0.3, 0.0]})
    found = {"surface": plane, "lines": line, "curvature": curved, "trajectory": way}
    return {name: networks(table) for name, table in found.items()}


def draw(found, folder):
    surfaces.draw(found, Canvas(epath.Path(folder), landscape.Config()))


def test_every_figure_with_rows_is_drawn_whatever_is_not_finite(tmp_path):
    draw(tables(), tmp_path)
    names = ["figure", "pca", "surface", "lines", "curvature"]
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("png", "pdf")}


def test_a_figure_without_rows_is_left_out(tmp_path):
    found = tables()
    found["surface"] = found["surface"].query("plane == 'random'")
    found["trajectory"] = found["trajectory"].iloc[:0]
    found["curvature"] = found["curvature"].iloc[:0]
    draw(found, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"figure", "surface", "lines"}


def test_the_first_seed_alone_is_drawn(tmp_path):
    first = {name: table.iloc[: 10 * (name == "lines")] for name, table in tables().items()}
    both = {name: pd.concat([table, table.assign(seed=1, x=2 * table["x"])]) for name, table in first.items()}
    drawn = []
    for name, found in (("one", first), ("both", both)):
        (tmp_path / name).mkdir()
        draw(found, tmp_path / name)
        drawn.append((tmp_path / name / "lines.png").read_bytes())
    assert drawn[0] == drawn[1]
