"""Figures: labels, colours and files against what the tables hold."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from experiments.depth_scaling import Config
from resjax.lab import canvas as canvas_module
from resjax.lab import curves, dots, figures
from resjax.lab.canvas import Canvas

TABLE = pd.DataFrame(
    [
        {"width": width, "connection": connection, "norm": "none", "seed": seed, "value": width + seed}
        for width in (8, 16)
        for connection in ("residual", "plain")
        for seed in (0, 1)
    ]
)
PLAIN = TABLE[TABLE["connection"] == "plain"]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, which stay open."""
    found = []
    monkeypatch.setattr(canvas_module.plt, "close", found.append)
    yield found
    monkeypatch.undo()
    plt.close("all")


def canvas_of(folder, **options):
    return Canvas(folder, Config(), **options)


def test_families_are_the_combinations_in_the_order_of_the_rows_with_a_colour_each(tmp_path):
    found = list(canvas_of(tmp_path).families(TABLE, "connection", "norm"))  # one norm, which no label says
    assert [(label, len(rows)) for label, _, rows in found] == [("residual", 4), ("plain", 4)]
    assert [color for _, color, _ in found] == list(figures.COLORS[:2])


def test_what_is_swept_makes_families_of_its_own_and_says_its_name(tmp_path):
    found = list(canvas_of(tmp_path, swept=("width",)).families(TABLE, "connection"))
    expected = ["residual, width 8", "plain, width 8", "residual, width 16", "plain, width 16"]
    assert [label for label, _, _ in found] == expected and all(len(rows) == 2 for _, _, rows in found)


def test_a_study_that_tells_by_colour_draws_once_with_everything(tmp_path):
    ((tables, canvas),) = canvas_module.canvases({"results": TABLE}, tmp_path, Config(), ["width"], colored=True)
    assert tables["results"] is TABLE and (canvas.suffix, canvas.swept) == ("", ("width",))


def test_another_one_draws_every_combination_by_itself(tmp_path):
    chosen = ["width", "connection"]
    found = list(canvas_module.canvases({"results": TABLE, "more": TABLE}, tmp_path, Config(), chosen, colored=False))
    assert [canvas.suffix for _, canvas in found][:2] == [
        "-width=8-connection=residual",
        "-width=8-connection=plain",
    ]
    for at, (width, connection) in enumerate((w, c) for w in (8, 16) for c in ("residual", "plain")):
        own = TABLE[(TABLE["width"] == width) & (TABLE["connection"] == connection)]
        assert all(table.equals(own) for table in found[at][0].values())


def test_a_value_with_signs_becomes_a_name_of_a_file(tmp_path):
    table = pd.DataFrame({"connection": ["scaled(beta=0.1)", "../x:Y"]})
    found = canvas_module.canvases({"results": table}, tmp_path, Config(), ["connection"], colored=False)
    assert [canvas.suffix for _, canvas in found] == ["-connection=scaled_beta=0.1_", "-connection=.._x_Y"]


def test_a_figure_is_a_png_and_a_pdf_the_same_ones_every_time(tmp_path):
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        with canvas_of(folder, suffix="-width=8").figure("curves", panels=2) as axes:
            axes[1].plot([0, 1], [2, 3])
    assert sorted(path.name for path in folder.iterdir()) == ["curves-width=8.pdf", "curves-width=8.png"]
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()


def test_a_figure_says_on_what_and_with_how_many_seeds_it_was_measured(tmp_path, drawn):
    with Canvas(tmp_path, Config(seeds=3, learning_rate=0.1), suffix="-width=8").figure(note="dots: a seed"):
        pass
    (text,) = (text.get_text() for text in drawn[0].texts)
    assert text == "digits; 3 seeds; width=8; dots: a seed"


def test_a_figure_of_tuned_networks_says_of_how_many_rates_each_has_the_best(tmp_path, drawn):
    with Canvas(tmp_path, Config(learning_rates=(0.1, 0.2))).figure():
        pass
    (text,) = (text.get_text() for text in drawn[0].texts)
    assert text == "digits; 1 seed; each at the best of 2 learning rates"


NAN = float("nan")
NOTHING = {
    "nothing": lambda axis: None,
    "no points": lambda axis: axis.plot([], []),
    "nan": lambda axis: axis.plot([1, 2], [NAN, NAN]),
    "infinity": lambda axis: axis.plot([1, 2], [np.inf, np.inf]),
    "dots of nan": lambda axis: axis.scatter([1, 2], [NAN, NAN]),
    "bars of nan": lambda axis: axis.barh([0, 1], [NAN, NAN]),
    "a line across": lambda axis: axis.axhline(0.5),
    "a band across": lambda axis: axis.axhspan(0.5, 0.7),
    "cells of nan": lambda axis: axis.imshow(np.full((2, 2), NAN)),
    "a mesh of nan": lambda axis: axis.pcolormesh(np.full((2, 2), NAN)),
    "a logarithmic axis": lambda axis: axis.set(xscale="log", yscale="log"),
    "dots of nan on it": lambda axis: (axis.scatter([NAN], [NAN]), axis.set(xscale="log", yscale="log")),
    "zero on it": lambda axis: (axis.set(yscale="log"), axis.plot([1, 2], [0, -1])),
}
SOMETHING = {
    "a point": lambda axis: axis.plot(1, 2, "x"),
    "a point beside nan": lambda axis: axis.plot([1, 2], [NAN, 1]),
    "a dot": lambda axis: axis.scatter([1], [2]),
    "a bar": lambda axis: axis.barh([0], [1]),
    "a cell": lambda axis: axis.imshow([[NAN, 1.0]]),
    "a logarithmic axis": lambda axis: (axis.set(yscale="log"), axis.plot([1, 2], [0, 1], "o")),
    "no axis": lambda axis: axis.set_axis_off(),
}


@pytest.mark.filterwarnings("ignore:Data has no positive values")
def test_a_panel_in_which_nothing_is_drawn_says_so(tmp_path, drawn):
    with canvas_of(tmp_path).figure(panels=5, rows=3, height=8) as axes:
        for axis, draw in zip(axes, NOTHING.values(), strict=False):
            draw(axis)
    said = [[text.get_text() for text in axis.texts] for axis in axes]
    assert said == [["nothing to show"]] * 15 and len(NOTHING) == 13
    assert (tmp_path / "figure.png").exists() and (tmp_path / "figure.pdf").exists()


@pytest.mark.parametrize("name", SOMETHING)
def test_a_panel_with_something_in_it_does_not(drawn, name):
    _, axis = plt.subplots()
    SOMETHING[name](axis)
    assert not canvas_module.empty(axis)


def test_an_empty_panel_beside_others_leaves_their_limits(tmp_path, drawn):
    with canvas_of(tmp_path).figure(panels=2, sharey=True) as (one, other):
        one.plot([1, 2], [10, 1000])
        other.set(xscale="log", yscale="log")
        limits = one.get_ylim()
    assert one.get_ylim() == limits and len(other.texts) == 1 and not one.texts


def test_a_figure_of_no_panels_says_so_in_one(tmp_path, drawn):
    with canvas_of(tmp_path).figure(panels=0, rows=0) as axes:
        assert len(axes) == 1
    assert len(axes[0].texts) == 1


def test_a_relief_says_so_and_one_with_a_surface_does_not(tmp_path, drawn):
    with canvas_of(tmp_path).figure(panels=2, subplot_kw={"projection": "3d"}) as (one, other):
        other.plot_surface(*np.meshgrid([0, 1], [0, 1]), np.zeros((2, 2)))
    assert len(one.texts) == 1 and not other.texts


def test_a_figure_says_how_many_networks_exhausted_the_memory(tmp_path, drawn):
    table = PLAIN.assign(diverged=[-1, None, 3, None])
    ((_, canvas),) = canvas_module.canvases(
        {"results": table, "rates": table[:1]}, tmp_path, Config(), [], colored=True
    )
    with canvas.figure():
        pass
    (text,) = (text.get_text() for text in drawn[0].texts)
    assert text.endswith("; 1 × memory exhausted, shown as diverged")


def corners(axis):
    """Of the only band, rounded."""
    return {tuple(point) for point in axis.collections[0].get_paths()[0].vertices.round(4).tolist()}


def test_a_line_goes_through_the_mean_and_its_band_is_the_t_interval(drawn):
    _, axis = plt.subplots()
    figures.line(axis, PLAIN["value"].groupby(PLAIN["width"]), color="C0")
    (line,) = axis.get_lines()
    np.testing.assert_array_equal(line.get_xydata(), [(8, 8.5), (16, 16.5)])
    half = 12.706205 / 2  # the quantile for one degree of freedom, times ½, the standard error of n and n + 1
    assert {(8, round(8.5 - half, 4)), (16, round(16.5 + half, 4))} <= corners(axis)


def left(x, y, limits, scale="log"):
    """The line that `leaving` draws, N 2, and its triangles: where, in x, and what they are."""
    _, axis = plt.subplots()
    axis.set(yscale=scale)
    figures.leaving(axis, x, y, limits, color="C0")
    assert axis.get_ylim() == limits
    line, *marks = axis.get_lines()
    return line.get_xydata(), [(*mark.get_xydata()[0].tolist(), mark.get_marker()) for mark in marks]


def test_a_line_that_leaves_the_axes_has_a_triangle_where_it_does(drawn):
    line, marks = left([0, 1, 2, 3], [1, 10, 1e5, 1e3], (0.1, 1e3))
    np.testing.assert_allclose(line[:3], [(0, 1), (1, 10), (2, 1e5)])
    assert marks == [(pytest.approx(1.5), 1e3, "^"), (pytest.approx(3), 1e3, "^")]
    _, marks = left([0, 2], [1, -1], (-0.5, 1), scale="linear")
    assert marks == [(pytest.approx(1.5), -0.5, "v")]
    assert left([0, 1], [1, 2], (1, 2))[1] == []  # the edge is inside


def test_infinity_zero_and_nothing_have_their_places(drawn):
    line, marks = left([0, 1, 2], [1, np.inf, 0], (0.1, 10))
    assert np.isfinite(line).all()
    assert [(edge, mark) for _, edge, mark in marks] == [(0.1, "v"), (10, "^"), (10, "^")]
    line, marks = left([0, 1, 2], [1, np.nan, 2], (0.1, 10))
    assert line[:, 0].tolist() == [0, 2] and not marks
    assert left([0, 1, 2], [1e9] * 3, (0.1, 10))[1] == [(1, 10, "^")]
    assert left([0, 1], [np.nan] * 2, (0.1, 10))[1] == []


def test_means_that_leave_the_axes_have_a_band_that_is_their_interval(drawn):
    _, axis = plt.subplots()
    axis.set_yscale("log")
    grouped = pd.Series([1.0, 100.0, 1e30, np.inf]).groupby([8, 8, 16, 16])
    figures.leaving_means(axis, grouped, (1e-3, 1e12), log=True, color="C0")
    line, mark = axis.get_lines()
    assert line.get_xydata()[0].tolist() == [8, pytest.approx(10)] and mark.get_marker() == "^"
    half = np.log(10) * np.tan(np.pi * 0.475)  # of Student's t with one degree of freedom, a Cauchy variable
    corners = axis.collections[0].get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(10 * np.exp(half))


def test_log_ticks_stand_at_the_values_and_nowhere_else(drawn):
    _, axis = plt.subplots()
    figures.log_ticks(axis, [20, 4, 20, 110])
    assert axis.get_xticks().tolist() == [4, 20, 110] and not len(axis.get_xticks(minor=True))
    assert [label.get_text() for label in axis.get_xticklabels()] == ["4", "20", "110"]


def test_equal_values_have_one_colour_and_there_are_colours_for_any_number():
    found = figures.colors([*"abcdefghi", "a"])
    assert list(found) == list("abcdefghi") and len({found[name] for name in "abcdefgh"}) == 8
    assert found["i"] == found["a"] and len(figures.shades(1)) == 1


def test_a_network_of_a_text_that_diverged_is_a_cross_at_the_bits_of_a_byte(tmp_path, drawn):
    ends = np.array([[2.0, NAN, 5.0, 5.5]]).T * np.log(2)  # nats: of two seeds at 10 layers, two at 50
    known = {"connection": "residual", "norm": "none", "depth": [10, 10, 50, 50], "seed": [0, 1, 0, 1]}
    results = pd.DataFrame(known).assign(train_loss=ends, test_loss=ends)
    curves.draw_bits(results, results, canvas_of(tmp_path), "note")
    lines = {line.get_marker(): line.get_xydata().tolist() for line in drawn[0].axes[0].lines[:3]}
    assert lines["x"] == [[10, 8]]
    np.testing.assert_allclose(lines["o"], [[10, 2], [50, 5], [50, 5.5]])
    np.testing.assert_allclose(lines["None"], [[10, 5], [50, 5.25]])


def test_a_mean_without_a_seed_that_diverged_is_a_cross(tmp_path, drawn):
    table = pd.DataFrame({"kind": ["one", "one", "other", "other"], "depth": 10, "loss": [1, 3, 5, NAN]})
    dots.draw(table, "kind", {"loss": "loss"}, canvas_of(tmp_path))
    means = {
        line.get_marker(): line.get_xydata()[0, 0] for line in drawn[0].axes[0].lines if len(line.get_xdata()) == 1
    }
    assert means == {"o": 2, "x": 5}
