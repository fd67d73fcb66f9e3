"""The table of an accelerator, made on a CPU: its columns follow from each other, and from counts by hand."""

import json

import jax
import numpy as np
import pandas as pd
import pytest
from commands import run
from known_case import Known

from benchmarks import device_networks
from benchmarks.accelerator import GROUPS
from benchmarks.device_cases import Product
from benchmarks.device_meter import Meter
from benchmarks.device_networks import SIZES
from benchmarks.device_plan import Measurement

SMALL = ("--size=small", "--turns=1", "--seconds=0.001")


def meter(monkeypatch, rate):
    """One on a device that multiplies matrices at this rate, in operations a second."""
    monkeypatch.setattr(Product, "measure", lambda *_: {"per_second": rate})
    return Meter(1, 0, matrix=8)


def test_the_share_of_the_matrix_rate_follows_from_the_columns(monkeypatch):
    row = meter(monkeypatch, rate=1e12).row(Measurement("step", Known("one", milliseconds=4, gigaflop=3)))
    assert row["matrix_share"] == pytest.approx(3e9 / 4e-3 / 1e12)


def test_the_ratio_is_that_of_the_time_a_network(monkeypatch):
    one = Known("one", milliseconds=4)
    six = Known("six", milliseconds=6, networks=6)
    row = meter(monkeypatch, rate=1e12).row(Measurement("seeds", six, "step_milliseconds", one))
    assert row["ratio"] == pytest.approx((6 / 6) / 4) and row["ratio_of"] == "step_milliseconds"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The work directory of a run of one group."""
    folder = tmp_path_factory.mktemp("accelerator")
    code, _, err = run("benchmarks.accelerator", *SMALL, "--groups=matrix", f"--workdir={folder}")
    assert code == 0, err
    return folder


@pytest.fixture
def table(folder):
    return pd.read_csv(folder / "results.csv")


def test_a_product_of_matrices_is_counted_as_by_hand(table):
    assert table["dtype"].tolist() == ["float32", "bfloat16"]
    np.testing.assert_allclose(table["gigaflop"], 2 * 256**3 / 1e9)


def test_the_device_is_named_in_the_table_and_in_the_record(folder, table):
    (record,) = json.loads((folder / "env.json").read_text())
    assert set(table["device"]) == {jax.devices()[0].device_kind}
    assert record["device"].endswith(table["device"].iloc[0]) and record["packages"]["jax"] == jax.__version__


def test_a_step_is_three_times_the_products_of_the_forward_pass_of_all_networks():
    forward = 2 * 64 * (64 * 64 + 2 * 64 * 64 + 64 * 10)  # a batch of 64, depth 4, width 64: norms are the rest
    together = device_networks.together(SIZES["small"], 3)
    found = together.measure(lambda step, wait: 2.0)  # milliseconds
    assert found["gigaflop"] == pytest.approx(3 * forward * 3 / 1e9, rel=0.06)
    assert (found["unit"], found["per_second"]) == ("examples", pytest.approx(3 * 64 / 2e-3))


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
