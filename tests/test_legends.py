"""Legends: what is told by colour and what by line, and names at the ends of lines that do not cover each other."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from resjax.lab import legends


def drawn(labels):
    """Panels with a line a label: (colour, style) by label; and the labels of the legends above them."""
    figure, axis = plt.subplots(layout="constrained")
    for label, (color, style) in labels.items():
        axis.plot([0, 1], [0, 1], style, color=color, label=label)
    legends.legend([axis], columns=3)
    found = [[text.get_text() for text in own.get_texts()] for own in figure.legends]
    plt.close(figure)
    return found


def test_few_entries_are_one_legend():
    assert drawn({"a, x": ("C0", "-"), "a, y": ("C0", "--"), "b, x": ("C1", "-")}) == [["a, x", "a, y", "b, x"]]


def test_a_label_of_several_panels_stands_once():
    drawing, axes = plt.subplots(1, 2, layout="constrained")
    for axis in axes:
        axis.plot([0], label="residual")
    axes[1].plot([0], label="plain")
    legends.legend(axes, columns=2)
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["residual", "plain"]


def test_of_many_colours_stand_left_and_lines_right():
    labels = {f"{a}, {b}": (f"C{i}", style) for i, a in enumerate("abcd") for b, style in (("x", "-"), ("y", "--"))}
    assert drawn(labels | {"theory, of Gauss": ("k", ":")}) == [["a", "b", "c", "d"], ["x", "y", "theory, of Gauss"]]


def test_entries_that_share_no_style_stay_what_they_are():
    labels = {f"{a}, {b}": ((i / 3, j / 3, 0.9), "-") for i, a in enumerate("abc") for j, b in enumerate("xyz")}
    assert drawn(labels) == [list(labels)]


@pytest.mark.parametrize("places", ([0.1, 0.5, 0.9], [0.5, 0.5, 0.5], [0.1, 0.11, 0.12, 0.15, 0.9]))
def test_names_are_apart_in_their_order_and_stay_about_where_they_were(places):
    found = legends.spread(places, 0.05)
    assert (np.diff(found) >= 0.05 - 1e-12).all() and np.mean(found) == pytest.approx(np.mean(places))
    if min(np.diff(places)) >= 0.05:
        assert found == pytest.approx(places)
