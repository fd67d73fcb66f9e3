"""What a report tells to try is a command that can be run, and is told to those for whom it was written."""

import re
import shlex

import pytest

from experiments import report as experiment
from resjax.lab.report.advice import RULES, advice
from resjax.reporting.calibrated import LIMITS
from resjax.reporting.checks import Check
from resjax.reporting.limits import BAD, OK


def seen(**values):
    """Checks by name, bad ones, of these values."""
    return {name: Check(name, value, "", BAD, "", "", "") for name, value in values.items()}


@pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=lambda rule: rule.flags)
def test_what_is_told_to_try_can_be_asked_for(rule):
    experiment.STUDY.check(["--depth=10", *shlex.split(rule.flags)])
    assert re.search(r"arXiv \d{4}\.\d{4,5}|tables of \w+", rule.source)


def flags_of(checks):
    return " ".join(rule.flags for rule in advice(checks))


def test_what_grows_on_both_ways_is_told_to_scale_its_branches():
    assert "scaled(power=0.5)" in flags_of(seen(activations=9.0, gradients=9.0))


def test_activations_have_no_upper_limit_and_grow_all_the_same():
    found = seen(activations=141.9, gradients=141.4)
    found["activations"] = found["activations"]._replace(status=LIMITS["activations"].status(141.9))
    assert found["activations"].status == OK and "--order=pre" not in flags_of(found)
    assert "scaled(power=0.5)" in flags_of(found)


def test_gradients_that_grow_alone_are_told_to_go_past_the_norm():
    found = flags_of(seen(gradients=9.0))
    assert "--order=pre" in found and "scaled" not in found


def test_tokens_that_become_one_are_told_of_smaller_branches():
    assert "--order=lns" in flags_of(seen(tokens=-9.0))


def test_of_what_is_sound_nothing_is_told():
    assert (
        advice({name: check._replace(status=OK) for name, check in seen(activations=9.0, gradients=9.0).items()}) == []
    )
