"""The limits of the report's indicators: how they are chosen, and that the report has those of the published table."""

import math

import numpy as np
import pytest

from experiments.report_calibration import given
from resjax.lab.site import published
from resjax.reporting import calibrated, limits
from resjax.reporting.limits import BAD, OK, WATCH, Limits

INF = math.inf


def test_a_limit_lies_half_of_the_way_from_what_trains_to_what_does_not():
    seen = {"gradients": [0.0, 3.0, 9.0, 20.0], "dead": [0.1, 0.2, 0.1, 0.2]}
    assert limits.of_all(seen, [True, True, False, False]) == {"gradients": Limits(high=3.0, most=6.0)}


def test_the_fewest_limits_tell_what_does_not_train():
    seen = {"a": [0.0, 1.0, 9.0, -9.0, 9.0, 0.5], "b": [0.0, 1.0, 9.0, 0.5, 0.5, 8.0]}
    found = limits.of_all(seen, [True, True, False, False, False, False])
    assert found == {"a": Limits(least=-4.5, low=0.0, high=1.0, most=5.0), "b": Limits(high=1.0, most=4.5)}


def test_what_left_the_range_is_bad_a_decade_beyond_what_trains():
    assert limits.of_all({"a": [0.0, 2.0, INF]}, [True, True, False]) == {"a": Limits(high=2.0, most=3.0)}


def test_a_network_that_trains_is_never_beyond_a_limit_and_nothing_is_told_within_the_margin():
    seen = {"a": [0.0, 1.0, 1.0 + limits.MARGIN / 2]}
    assert limits.of_all(seen, [True, True, False]) == {}


@pytest.mark.parametrize(
    ("value", "status"), ((-2.0, BAD), (-0.7, WATCH), (0.0, OK), (3.0, OK), (3.1, WATCH), (5.0, BAD), (INF, BAD))
)
def test_an_indicator_is_ok_to_be_watched_or_bad(value, status):
    assert Limits(least=-1.0, low=-0.5, high=3.0, most=4.0).status(value) == status


@pytest.mark.parametrize(
    ("seen", "told"), (({"a": 0.0, "b": 0.0}, True), ({"a": 9.0, "b": 0.0}, False), ({"a": 1.5, "b": math.nan}, None))
)
def test_one_that_is_bad_is_enough_and_all_that_are_known_must_be_ok(seen, told):
    assert limits.told({"a": Limits(high=1.0, most=2.0), "b": Limits(low=0.0, least=-1.0)}, seen) is told


def test_each_half_is_judged_by_the_limits_of_the_other():
    trains = [True, True, True, True, False, False, False, False]
    seen = {"a": [0.0, 0.1, 1.0, 0.9, 8.0, 8.0, 0.5, 8.0]}
    assert limits.two_fold(seen, trains) == {"right": 6, "wrong": 1, "open": 1}


def test_the_report_has_the_limits_and_the_accuracy_of_the_published_table():
    seen, trains = given(published.tables("report_calibration")["results"])
    assert limits.of_all(seen, trains) == calibrated.LIMITS and len(trains) >= 40
    count = {"right": calibrated.RIGHT, "wrong": calibrated.WRONG, "open": calibrated.OPEN}
    assert limits.two_fold(seen, trains) == count


def test_seeds_of_a_network_are_on_one_side():
    rng = np.random.default_rng(4)
    values = rng.normal(size=30) * 4
    trains = (values < 2).tolist()
    alone = limits.two_fold({"one": values.tolist()}, trains)
    twice = limits.two_fold({"one": np.repeat(values, 2).tolist()}, np.repeat(trains, 2).tolist(), seeds=2)
    assert twice == {name: 2 * count for name, count in alone.items()}


def test_what_left_the_range_is_bad_even_where_no_limit_is():
    assert limits.Limits(-1.0, 0.0).status(np.inf) == limits.BAD
    assert limits.told({"activations": limits.Limits(-1.0, 0.0)}, {"activations": np.inf}) is False
