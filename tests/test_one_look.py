"""The figures of the published tables have one look: labelled ticks, short labels, few entries in a legend, a note."""

import shlex
from unittest import mock

import matplotlib.pyplot as plt
import pytest
from etils import epath
from matplotlib.ticker import FixedLocator

from resjax.lab import canvas, flags, sweep
from resjax.lab.site import gallery, published

FOLDERS = [(name, folder) for name in gallery.ORDER for folder in published.folders(name)]
ENTRIES = 6
pytestmark = pytest.mark.slow


def labelled(axis, limits):
    """The labels within these limits of an axis of ticks."""
    low, high = sorted(limits)
    places = [*zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)]
    places += [*zip(axis.get_minorticklocs(), axis.get_minorticklabels(), strict=True)]
    return [label.get_text() for place, label in places if low <= place <= high and label.get_text()]


def faults(name, drawing):
    """What is wrong with a figure."""
    drawing.canvas.draw()
    for axes in (own for own in drawing.axes if own.get_visible() and own.axison and own.name != "3d"):
        what = f"{name}, {axes.get_title() or axes.get_ylabel() or axes.get_xlabel()}"
        for axis, scale, limits in (
            (axes.xaxis, axes.get_xscale(), axes.get_xlim()),
            (axes.yaxis, axes.get_yscale(), axes.get_ylim()),
        ):
            shared = not any(label.get_visible() for label in axis.get_majorticklabels())
            given = isinstance(axis.get_major_locator(), FixedLocator)  # ticks at the data, of which there may be one
            wanted = min(2, len(axis.get_majorticklocs())) if given else 2
            if scale == "log" and not shared and len(labelled(axis, limits)) < wanted:
                yield f"{what}: {axis.axis_name} has {labelled(axis, limits)}"
        box = axes.yaxis.label.get_window_extent()
        if axes.get_ylabel() and box.height > 1.02 * axes.get_window_extent().height:
            yield f"{what}: the label {axes.get_ylabel()!r} is longer than its axis"
    legends = [*drawing.legends, *(axes.get_legend() for axes in drawing.axes if axes.get_legend())]
    for legend in legends:
        if len(legend.get_texts()) > ENTRIES:
            yield f"{name}: {len(legend.get_texts())} entries in a legend: {[t.get_text() for t in legend.get_texts()]}"


@pytest.mark.parametrize(("name", "folder"), FOLDERS)
def test_every_published_figure_has_the_one_look(name, folder, tmp_path):
    study = gallery.experiments()[name].STUDY
    tables = published.tables(folder)
    if tables.keys() < study.tables.keys():
        pytest.skip(f"results/{folder} has no {', '.join(study.tables.keys() - tables.keys())}")
    config = flags.parse(study.config, shlex.split(published.command(folder))[2:])
    found = []
    close = plt.close

    def looked_at(drawing):
        found.extend(faults(folder, drawing))
        close(drawing)

    with mock.patch.object(canvas.plt, "close", looked_at):
        for own, drawn in canvas.canvases(
            tables, epath.Path(tmp_path), config, list(sweep.fields(config)), study.colored
        ):
            study.draw(own, drawn)
    assert found == [], "\n".join(found)
