"""The look of every figure: one or two columns of a paper, drawn without a display."""

import contextlib
import io

import matplotlib
from etils import epath

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from resjax.system import distributed, files

STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "figure.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "figure.dpi": 200,
    "pdf.fonttype": 42,  # text stays text
}
COLUMN = 3.4  # inches, one column of a two-column paper
# Okabe & Ito, safe for colour-blind readers
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def shades(count: int):
    """So many colours for an ordered quantity, dark to light."""
    return plt.get_cmap("viridis")([0.9 * place / max(count - 1, 1) for place in range(count)])


def legend(axes, columns: int):
    """One legend above all panels, each label once."""
    shown = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[0].figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=columns)


@contextlib.contextmanager
def figure(path: epath.Path, panels: int = 1, rows: int = 1, height: float = 2.4, **options):
    """Yields the axes, `panels` side by side in each row, and writes `path`.png and `path`.pdf at the end.

    One panel is a column wide, several fill both columns of a page; `height` is the whole figure's.
    """
    with plt.rc_context(STYLE):
        size = (COLUMN * min(panels, 2), height)
        drawing, axes = plt.subplots(rows, panels, figsize=size, layout="constrained", squeeze=False, **options)
        yield axes.ravel()
        if distributed.is_primary():
            for kind, options in (("png", {}), ("pdf", {"metadata": {"CreationDate": None}})):
                drawn = io.BytesIO()
                drawing.savefig(drawn, format=kind, **options)
                files.write(path.with_suffix(f".{kind}"), drawn.getvalue())
        plt.close(drawing)
