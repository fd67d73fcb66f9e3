"""The table of an accelerator, made on a CPU: its columns follow from each other, and from counts by hand."""

import json

import jax
import numpy as np
import pandas as pd
import pytest
from commands import run

from benchmarks.accelerator import GROUPS

SMALL = ("--size=small", "--turns=1", "--seconds=0.001")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The work directory of a run of two groups."""
    folder = tmp_path_factory.mktemp("accelerator")
    code, _, err = run("benchmarks.accelerator", *SMALL, "--groups=matrix,seeds", f"--workdir={folder}")
    assert code == 0, err
    return folder


@pytest.fixture
def table(folder):
    return pd.read_csv(folder / "results.csv").set_index("group", drop=False)


def test_a_product_of_matrices_is_counted_as_by_hand(table):
    assert table.loc["matrix", "dtype"].tolist() == ["float32", "bfloat16"]
    np.testing.assert_allclose(table.loc["matrix", "gigaflop"], 2 * 256**3 / 1e9)


def test_a_step_is_three_times_the_products_of_the_forward_pass_of_all_networks(table):
    forward = 2 * 64 * (64 * 64 + 2 * 64 * 64 + 64 * 10)  # a batch of 64, depth 4, width 64: norms are the rest
    seeds = table.loc["seeds"]
    np.testing.assert_allclose(seeds["gigaflop"], 3 * forward * seeds["networks"] / 1e9, rtol=0.06)


def test_the_share_of_the_matrix_rate_follows_from_the_columns(table):
    rate = table.loc["matrix"].set_index("dtype")["per_second"]
    flops = 1e9 * table["gigaflop"] / (table["step_milliseconds"] / 1e3)
    np.testing.assert_allclose(table["matrix_share"], flops / table["dtype"].map(rate))


def test_examples_are_those_of_all_networks(table):
    seeds = table.loc["seeds"]
    assert seeds["networks"].tolist() == [1, 2, 3] and set(seeds["unit"]) == {"examples"}
    seconds = seeds["step_milliseconds"] / 1e3
    np.testing.assert_allclose(seeds["per_second"], seeds["batch"] * seeds["networks"] / seconds)


def test_the_ratio_is_that_of_the_time_a_network(table):
    each = table.loc["seeds", "step_milliseconds"] / table.loc["seeds", "networks"]
    np.testing.assert_allclose(table.loc["seeds", "ratio"][1:], each[1:] / each.iloc[0])
    assert np.isnan(table.loc["seeds", "ratio"].iloc[0]) and set(table["ratio_of"].dropna()) == {"step_milliseconds"}


def test_the_device_is_named_in_the_table_and_in_the_record(folder, table):
    (record,) = json.loads((folder / "env.json").read_text())
    assert set(table["device"]) == {jax.devices()[0].device_kind}
    assert record["device"].endswith(table["device"].iloc[0]) and record["packages"]["jax"] == jax.__version__


@pytest.mark.slow
def test_everything_is_measured_in_the_small_form(tmp_path):
    code, _, err = run("benchmarks.accelerator", *SMALL, "--minutes=60", f"--workdir={tmp_path}")
    assert code == 0, err
    table = pd.read_csv(tmp_path / "results.csv")
    assert set(GROUPS) - {"torch"} <= set(table["group"]) and table["note"].isna().all()
    memory = table[table["network"].str.startswith("dense") & (table["group"] == "memory")].set_index("remat")
    assert memory["temporary_mib"].idxmin() == "nothing_saveable" and memory["temporary_mib"].idxmax() == "everything"
    unrolled = table[table["group"] == "unrolled"]
    assert unrolled["variant"].isna().tolist() == [True, False]
