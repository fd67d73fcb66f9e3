"""Every experiment runs to its end (see test_report for the report): its table has rows, and its figure is drawn."""

import dataclasses
import importlib
import pathlib

import pandas as pd
import pytest
from tiny import EXPERIMENTS, SIGNALS, TRAINING

from resjax.lab import flags

LONGEST = "depth_frontier", "depth_pays", "ensembles", "invertible_resnet", "landscape", "wirings"
ROOT = pathlib.Path(__file__).parent.parent


def test_none_is_left_out_but_the_report_and_its_54_networks():
    there = {path.stem for path in (ROOT / "experiments").glob("[a-z]*.py")}
    assert set(EXPERIMENTS) == there - {"report", "report_calibration"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONGEST else []) for name in EXPERIMENTS]
)
def test_it_leaves_a_table_and_a_figure(name, tmp_path):
    study = importlib.import_module(f"experiments.{name}").STUDY
    rates = ["--learning_rates=0.01" for field in dataclasses.fields(study.config) if field.name == "learning_rates"]
    training = [] if name in SIGNALS else [*TRAINING, *rates]
    study.run(flags.parse(study.config, [name, *EXPERIMENTS[name], *training, f"--workdir={tmp_path}/run"]))
    assert (tmp_path / "run/figure.png").stat().st_size
    assert len(pd.read_csv(tmp_path / "run/results.csv"))
