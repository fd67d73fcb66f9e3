"""Wirings side by side: what is lost at other rates, spikes, and the gains of what mixes."""

import math

import numpy as np
import pandas as pd
import pytest

from resjax.lab.statistics import spikes
from tests.torture.commands import here


def test_spikes_stand_above_the_median_of_the_five_losses_before():
    losses = [3.0, 2.9, 3.02, 2.8, 2.85, 2.7, 2.96, 2.7, 9.0, 2.6]  # 2.96 is 0.11 above 2.85, 3.02 is 0.07 above 2.95
    assert spikes(losses) == 2


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    options = ("--depths=6", "--width=4", "--steps=21", "--learning_rates=0.01,1000")
    ended = here("wirings", "--order=pre,rezero", "--connections=residual,hyper", *options, f"--workdir={folder}")
    assert (ended.code, ended.err) == (0, "")
    return {name: pd.read_csv(folder / f"{name}.csv") for name in ("results", "rates")}


def test_sensitivity_is_the_mean_over_the_rates_of_what_is_lost_against_the_best(tables):
    keys = ["order", "connection", "seed"]
    losses = tables["rates"]["train_loss"].fillna(np.inf).clip(upper=math.log(256))
    lost = losses.groupby([tables["rates"][key] for key in keys]).agg(lambda own: own.mean() - own.min())
    np.testing.assert_allclose(tables["results"].set_index(keys)["sensitivity"].sort_index(), lost, rtol=1e-6)
    assert (lost > 0.1).all()  # at a rate of 1000 nothing trains


def test_each_wiring_stands_once_and_those_that_mix_have_gains(tables):
    results = tables["results"]
    found = results[["order", "connection"]].drop_duplicates().apply(tuple, axis=1)
    assert list(found) == [("pre", "residual"), ("rezero", "residual"), ("pre", "hyper")]
    mixes = results["connection"] == "hyper"
    assert (results["forward_gain"].notna() == mixes).all() and (results.loc[mixes, "forward_gain"] > 0.5).all()
