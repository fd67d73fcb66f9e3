"""A page of HTML that needs nothing beside it: its style, its script and its figures are inside."""

import html
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

WEB = pathlib.Path(__file__).parent / "web"
DIGITS = 4
SAVED = 8  # more would be those of the machine that made the page


def document(title: str, body: str) -> str:
    """The whole page: works from disk, light and dark, wide and narrow; see `web/style.css`, `web/tables.js`."""
    style = (WEB / "style.css").read_text()
    script = (WEB / "tables.js").read_text()
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>\n{style}</style>\n</head>\n'
        f"<body>\n{body}\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def table(found: pd.DataFrame, name: str) -> str:
    """A table that can be sorted, filtered and saved; numbers are shown with `DIGITS`, and saved with `SAVED`."""
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in found.itertuples(index=False))
    return grid([str(column) for column in found.columns], rows, name)


def grid(heads: Sequence[str], rows: str, name: str, kind: str = "") -> str:
    """A table of rows that are HTML already; of kind "stack" its cells stand below each other on a narrow screen."""
    cells = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in heads)
    return (
        f'<div class="wide"><table class="data {kind}" data-name="{html.escape(name)}">\n'
        f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        shown = "–" if math.isnan(value) else f"{value:.{DIGITS}g}"
        return f'<td data-value="{"" if math.isnan(value) else format(value, f".{SAVED}g")}">{shown}</td>'
    return f"<td>{'–' if pd.isna(value) else html.escape(str(value))}</td>"


def drawn(svg: str, alt: str, caption: str) -> str:
    """A figure whose lines and words have the page's colour, from matplotlib's SVG."""
    inner = svg[svg.index("<svg") :]
    inner = re.sub(r"<metadata>.*?</metadata>", "", inner, flags=re.DOTALL)
    inner = re.sub("#000000|#666666", "currentColor", inner)  # of axes and words, and of the note below them
    inner = inner.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)
    return f"<figure>\n{inner}<figcaption>{html.escape(caption)}</figcaption>\n</figure>"
