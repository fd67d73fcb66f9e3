"""Where a study draws: figures of one or two columns of a paper, drawn without a display, and what all of them say."""

import contextlib
import dataclasses
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from etils import epath

from resjax.lab.config import Running
from resjax.lab.figures import COLORS
from resjax.lab.sweep import parted
from resjax.lab.tables import NO_STEP

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.typing import RcKeyType

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import ticker

from resjax.system import distributed, files

STYLE: dict["RcKeyType", Any] = {
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
    "figure.dpi": 150,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",  # so it does here
    "svg.hashsalt": "resjax",  # the same figure is the same file
}
COLUMN = 3.4  # inches, one column of a two-column paper
NOTHING = "nothing to show"
PRINTED = ("png", "pdf")
KINDS: dict[str, dict[str, Any]] = {
    "png": {},
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}, "transparent": True},  # for pages of HTML
}


@dataclasses.dataclass(frozen=True)
class Canvas:
    """Where a study draws, and what all its figures say."""

    folder: epath.Path
    config: Running
    suffix: str = ""  # of the figures' names: what is swept
    swept: tuple[str, ...] = ()  # options whose values are told apart by colour
    exhausted: int = 0  # networks for which the device's memory did not suffice
    kinds: tuple[str, ...] = PRINTED

    @contextlib.contextmanager
    def figure(
        self, name: str = "figure", panels: int = 1, rows: int = 1, height: float = 2.4, note: str = "", **options: Any
    ) -> Iterator[Any]:
        """As `figure`, and below it the data set, the seeds, what is swept, and a note: what bands and dots are."""
        with figure(self.folder / f"{name}{self.suffix}", panels, rows, height, self.kinds, **options) as axes:
            yield axes
            known = [
                getattr(self.config, "dataset", ""),
                self._seeds(),
                self._rates(),
                self.suffix.lstrip("-").replace("-", ", "),
                note,
                f"{self.exhausted} × memory exhausted, shown as diverged" if self.exhausted else "",
            ]
            text = "; ".join(part for part in known if part)
            axes[0].figure.get_layout_engine().set(rect=(0, 0.12 / height, 1, 1 - 0.12 / height))
            axes[0].figure.text(0.995, 0.02 / height, text, ha="right", va="bottom", fontsize=5, color="0.4")

    def _seeds(self) -> str:
        count = getattr(self.config, "seeds", 0)
        return f"{count} seed{'s' if count > 1 else ''}" if count else ""

    def _rates(self) -> str:
        count = len(getattr(self.config, "rates", ()))
        return f"each at the best of {count} learning rates" if count > 1 else ""

    def families(self, table: "pd.DataFrame", *names: str) -> Iterator[tuple[str, str, "pd.DataFrame"]]:
        """The rows of every combination of these columns, and of what is swept: label, colour, rows.

        The label has the columns in which families differ.
        """
        chosen = [*(name for name in self.swept if name not in names), *names]
        differing = [name for name in dict.fromkeys((*names, *chosen)) if table[name].nunique() > 1] or names
        for color, (values, rows) in zip(itertools.cycle(COLORS), table.groupby(chosen, sort=False), strict=False):
            known = dict(zip(chosen, values, strict=True))
            yield ", ".join(_labelled(name, known[name]) for name in differing), color, rows


def _labelled(name: str, value: Any) -> str:
    """What a legend calls a value: words speak for themselves."""
    return value if isinstance(value, str) else f"{name} {value:g}"


def canvases(
    tables: Mapping[str, "pd.DataFrame"],
    folder: epath.Path,
    config: Running,
    swept: Sequence[str],
    colored: bool,
    kinds: tuple[str, ...] = PRINTED,
) -> Iterator[tuple[dict[str, "pd.DataFrame"], Canvas]]:
    """The tables, and a canvas for them: all of them `colored`, or else those of each combination of what is swept."""
    if colored:
        yield dict(tables), Canvas(folder, config, swept=tuple(swept), exhausted=_exhausted(tables), kinds=kinds)
        return
    for chosen, own in parted(tables, swept):
        suffix = "".join(f"-{name}={value}" for name, value in chosen.items())
        yield own, Canvas(folder, config, re.sub(r"[^\w.=-]+", "_", suffix), exhausted=_exhausted(own), kinds=kinds)


def _exhausted(tables: Mapping[str, "pd.DataFrame"]) -> int:
    return max(
        (int((table["diverged"] == NO_STEP).sum()) for table in tables.values() if "diverged" in table), default=0
    )


@contextlib.contextmanager
def figure(
    path: epath.Path,
    panels: int = 1,
    rows: int = 1,
    height: float = 2.4,
    kinds: Sequence[str] = PRINTED,
    **options: Any,
) -> Iterator[Any]:
    """Yields the axes, `panels` side by side in each row, and writes `path`.png, `path`.pdf … at the end.

    One panel is a column wide, several fill both columns of a page; `height` is the whole figure's. A panel in which
    nothing was drawn says so, as does a figure of no panels.
    """
    rows = max(rows, 1)
    panels = max(panels, 1)
    with plt.rc_context(STYLE):
        size = (COLUMN * min(panels, 2), height)
        drawing, axes = plt.subplots(rows, panels, figsize=size, layout="constrained", squeeze=False, **options)
        yield axes.ravel()
        for axis in filter(empty, axes.ravel()):
            _make_positive(axis)
            axis.annotate(NOTHING, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color="0.4")
        for axis in drawing.axes:
            _label_logarithms(axis)
        if distributed.is_primary():
            for kind in kinds:
                drawn = io.BytesIO()
                drawing.savefig(drawn, format=kind, **KINDS[kind])
                files.write(path.parent / f"{path.name}.{kind}", drawn.getvalue())
        plt.close(drawing)


def _label_logarithms(axis: Any) -> None:
    """Gives logarithmic axes of which fewer than two ticks would have a label more of them; ticks of one's own stay."""
    for own, limits in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
        decades = [at for at in own.get_majorticklocs() if min(limits) <= at <= max(limits)]
        if own.get_scale() != "log" or len(decades) > 1 or isinstance(own.get_major_locator(), ticker.FixedLocator):
            continue
        narrow = max(limits) < 4 * min(limits)
        own.set_major_locator(ticker.MaxNLocator(4) if narrow else ticker.LogLocator(subs=(1, 2, 5)))
        own.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        own.set_minor_formatter(ticker.NullFormatter())


def empty(axis: Any) -> bool:
    """Whether a panel that can be seen shows no finite point, bar or cell: lines over its whole width do not count."""
    ends = [*axis.dataLim.get_points().ravel()]  # infinite where nothing has been drawn
    ends += [axis.dataLim.minposx] if axis.get_xscale() == "log" else []
    ends += [axis.dataLim.minposy] if axis.get_yscale() == "log" else []
    grids = [own.get_array() for own in (*axis.images, *axis.collections) if own.get_array() is not None]
    blank = grids and not any(np.isfinite(np.ma.filled(grid.astype(float), np.nan)).any() for grid in grids)
    drawn = axis.has_data() and (axis.name == "3d" or np.isfinite(ends).all())
    seen = axis.get_visible() and (axis.axison or axis.name == "3d")
    return seen and (blank or not drawn)


def _make_positive(axis: Any) -> None:
    """Gives logarithmic axes without data limits that they can have."""
    if axis.get_xscale() == "log" and not axis.get_xlim()[0] > 0:
        axis.set_xlim(1, 10)
    if axis.get_yscale() == "log" and not axis.get_ylim()[0] > 0:
        axis.set_ylim(1, 10)
