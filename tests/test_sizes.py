"""Networks of equal size: widths whose parameters are counted by hand."""

import dataclasses

import pytest

from resjax.lab import sizes
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

DENSE = Trial(network="dense", dataset="digits", depth=6, norm="none", width=8)
TOKENS = Trial(network="transformer(heads=3)", dataset="text(window=8)", depth=6, norm="layer", width=24)


def parameters(width, layers=4):
    """Of the dense network: 64 pixels, layers of a width, ten classes."""
    return 64 * width + width + layers * (width * width + width) + width * 10 + 10


def test_the_widest_has_no_more_parameters_and_one_wider_has():
    for allowed in (parameters(11), parameters(11) + 1, parameters(12) - 1):
        assert sizes.widest(DENSE, allowed) == 11
    assert sizes.widest(DENSE, parameters(1) - 1) == 0


def test_the_nearest_may_have_more_but_is_at_most_twice_as_wide():
    between = (parameters(11) + parameters(12)) // 2
    assert sizes.nearest(DENSE, between - 1) == 11
    assert sizes.nearest(DENSE, between + 1) == 12
    assert sizes.nearest(DENSE, 1) == 1
    assert sizes.nearest(DENSE, parameters(40)) == 16


def test_a_deeper_network_is_as_large_when_it_is_narrower():
    deep = dataclasses.replace(DENSE, depth=12, seed=5)
    found = sizes.as_large_as(DENSE, deep)
    width = min(range(1, 17), key=lambda width: abs(parameters(width, 10) - parameters(8)))
    assert found == dataclasses.replace(deep, width=width) and width < 8


def test_widths_are_those_that_heads_divide_into_pairs():
    assert sizes.nearest(TOKENS, sizes.count(TOKENS, 12) + 1) == 12  # three heads of four, or of two, six, eight
    with pytest.raises(UserError, match="width 13: must be a multiple of 3"):
        sizes.count(TOKENS, 13)


def test_what_cannot_be_built_at_any_width_says_why():
    with pytest.raises(UserError, match="depth"):
        sizes.widest(Trial(network="dense", dataset="digits", depth=7), 1000)
