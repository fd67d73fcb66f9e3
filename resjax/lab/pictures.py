"""Figures of images and what was computed back from their last feature map, from a table alone."""

from typing import TYPE_CHECKING

from resjax.lab.canvas import Canvas

if TYPE_CHECKING:
    import pandas as pd


def draw(pictures: "pd.DataFrame", canvas: Canvas) -> None:
    """Images (top row), their inverses and the difference, from −1 (blue) to 1 (red), for every bound c.

    The table has a row a pixel: spectral_norm (c; 0: none), image, row, column, channel, input, inverse.
    """
    bounds = list(pictures["spectral_norm"].unique())
    count = pictures["image"].nunique()
    rows = [("input", bounds[0])] + [(kind, bound) for bound in bounds for kind in ("inverse", "difference")]
    pictures = pictures.assign(difference=pictures["inverse"] - pictures["input"])
    low = pictures["input"].min()
    high = pictures["input"].max()
    with canvas.figure("pictures", count, len(rows), 0.1 + 0.42 * len(rows)) as axes:
        for at, axis in enumerate(axes):
            row, image = divmod(at, count)
            kind, bound = rows[row]
            shown = pictures[(pictures["spectral_norm"] == bound) & (pictures["image"] == image)]
            values = shown.groupby(["row", "column"])[kind].mean().unstack()
            limits = (-1, 1) if kind == "difference" else (low, high)
            axis.imshow(values, cmap="RdBu_r" if kind == "difference" else "gray", vmin=limits[0], vmax=limits[1])
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if image == 0:
                name = f"c = {bound:g}" if bound else "no bound"
                label = "input" if kind == "input" else f"{name}\n{kind}{' ±1' if kind == 'difference' else ''}"
                axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=6)
