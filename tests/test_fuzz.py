"""Random command lines are refused in one line, whatever stands there; `tests.torture` tries more of them."""

import shlex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.torture.commands import study
from tests.torture.flags import EXPERIMENTS, command_lines, planned, refused

FEW = ("depth_scaling",)  # the others refuse with the same code


@pytest.mark.parametrize(
    "experiment",
    [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in EXPERIMENTS],
)
def test_no_command_line_ends_in_a_traceback(experiment):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(command_lines(study(experiment).config))
    def holds(arguments):
        ended = planned(experiment, arguments)
        assert refused(ended), f"{experiment} {shlex.join(arguments)}: exit code {ended.code}: {ended.err}"

    holds()


@given(st.sampled_from(("--depths", "--width", "--norms", "--seeds", "--steps")), st.text())
def test_a_flag_without_a_value_or_with_any_text_is_no_traceback(flag, text):
    assert refused(planned("depth_scaling", [flag, text]))
