"""What is planned for an accelerator, and what becomes of it: a run ends in time, and no failure ends it."""

import collections
import sys
import types

import pytest
from known_case import Known

from benchmarks import accelerator, device_plan, timing
from benchmarks.device_meter import Meter
from benchmarks.device_networks import SIZES
from benchmarks.device_plan import Measurement, planned
from resjax.system.errors import UserError

BOTH = ["float32", "bfloat16"]


@pytest.fixture
def with_torch(monkeypatch):
    monkeypatch.setattr(device_plan, "_no_torch", lambda: "")


@pytest.mark.parametrize("size", SIZES)
def test_every_group_has_rows_and_every_ratio_another_row_of_its_group(with_torch, size):
    rows = planned(SIZES[size], accelerator.GROUPS)
    assert {row.group for row in rows} == set(accelerator.GROUPS)
    for at, row in enumerate(rows):
        assert row.to is None or (row.group, row.to) in {(other.group, other.case) for other in rows[:at]}


def test_every_network_is_measured_in_both_dtypes():
    dtypes = collections.defaultdict(list)
    for row in planned(SIZES["full"], ("step",)):
        dtypes[row.case.named["network"], row.case.named["batch"]].append(row.case.named["dtype"])
    assert dtypes and all(found == BOTH for found in dtypes.values())


def test_without_pytorch_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert {row.group for row in planned(SIZES["small"], ("unrolled", "torch"))} == {"unrolled"}
    assert capsys.readouterr().out == "torch is not installed (extra [peers]): not compared\n"


def test_groups_of_which_nothing_can_be_measured_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"^--groups=torch: nothing of it can be measured here$"):
        accelerator.measured(accelerator.Config(size="small", groups=("torch",)))


@pytest.mark.parametrize(
    ("says", "note"),
    (
        ("RESOURCE_EXHAUSTED: Out of memory allocating 1536 bytes.", "the memory is exhausted, 1.5 KiB asked for"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 …", "the memory is exhausted, 2.00 GiB asked for"),
        ("INTERNAL: no such kernel\nand more", "INTERNAL: no such kernel"),
    ),
)
def test_what_fails_is_a_row_with_a_note_and_the_others_stay(says, note, capsys):
    slow = Known("slow", 6)
    lost = Known("lost", says=says)
    fast = Known("fast", 2)
    plan = [Measurement("step", case, "step_milliseconds", slow) for case in (slow, lost, fast)]
    plan.append(Measurement("step", fast, "step_milliseconds", lost))
    rows = list(accelerator.rows(plan, Meter(1, 0, matrix=8).row, minutes=10))
    assert [row.get("note") for row in rows] == [None, note, None, f"no ratio, for lost, float32: {note}"]
    assert [row.get("ratio") for row in rows] == [1, None, 2 / 6, None]
    assert [row.get("step_milliseconds") for row in rows] == [6, None, 2, 2]
    assert [row["network"] for row in rows] == ["slow", "lost", "fast", "fast"] and note in capsys.readouterr().out
    for case in (slow, lost, fast):
        assert case.measured == [case.network]  # once, though several rows need it


def test_none_is_begun_for_which_less_time_is_left_than_the_longest_took(capsys):
    now = 0.0

    def measure(one):
        nonlocal now
        now += one.case.milliseconds
        return {"step_milliseconds": 1}

    plan = [Measurement("step", Known(f"{seconds} s", seconds)) for seconds in (10, 30, 10, 9, 1)]
    found = list(accelerator.rows(plan, measure, 1.5, lambda: now))  # at 50 s there are 40, at 59 s 31, at 60 s 30
    assert (len(found), now) == (5, 60)
    now = 0.0
    found = list(accelerator.rows(plan, measure, 1.1, lambda: now))  # at 40 s there are 26
    assert (len(found), now) == (2, 40)
    left = "left out, to end within --minutes=1.1: step: 10 s, float32; step: 9 s, float32; step: 1 s, float32\n"
    assert capsys.readouterr().out.endswith(left)


def test_steps_are_queued_and_waited_for_once_a_turn(monkeypatch):
    host = device = 0.0  # seconds at which each is done: a step takes Python 1 ms and the device 10
    waits = []

    def step():
        nonlocal host, device
        host += 0.001
        device = max(host, device) + 0.010

    def wait():
        nonlocal host
        waits.append(host)
        host = max(host, device)

    monkeypatch.setattr(timing, "time", types.SimpleNamespace(perf_counter=lambda: host))
    found = timing.paced(step, wait, turns=3, seconds=1.1)
    assert found == pytest.approx(10, rel=0.01) and len(waits) == 2 + 3
    assert host == pytest.approx((2 + 3 * 100) * 0.010, rel=0.01)  # 1.1 s are 100 steps, each waited for
