"""The gallery, the columns, and what the README says was found: from docstrings and tables, never by hand.

python -m resjax.lab.site.gallery  # writes docs/gallery.md, docs/index.html, docs/columns.md and the README's list
"""

import collections
import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from types import ModuleType

import pandas as pd

from resjax.lab import flags, watched
from resjax.lab.options import Options
from resjax.lab.site import index, published
from resjax.lab.site.found import FOUND
from resjax.lab.tables import BLOCKS, Column
from resjax.system.errors import UserError

ROOT = published.ROOT
MADE = "<!-- made by `python -m resjax.lab.site.gallery`: change docstrings and tables, not this -->"
MARKS = "<!-- found -->", "<!-- /found -->"
ORDER = (
    *("report", "report_calibration"),
    *(
        "depth_scaling",
        "depth_frontier",
        "depth_pays",
        "depth_use",
        "wirings",
        "signal_propagation",
        "shattered_gradients",
        "normalization",
    ),
    *("initialization", "identity", "learning_rate", "stochastic_depth", "lesions", "paths", "ensembles"),
    *("invertibility", "invertible_resnet", "shortcuts", "landscape", "optimization", "wide_chain"),
)


def experiments() -> dict[str, ModuleType]:
    """The modules of all experiments by name, in the gallery's order.

    Raises:
      UserError: they are not here: pip installs the library alone.
    """
    try:
        return {name: importlib.import_module(f"experiments.{name}") for name in ORDER}
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not here: pip installs the library alone, run this in a checkout") from None


def gallery() -> str:
    """The text of docs/gallery.md: every experiment's question, figure, what was found, table and commands."""
    parts = [_entry(name, module) for name, module in experiments().items()]
    return "\n".join([MADE, "", "# Gallery", "", *parts])


def _entry(name: str, module: ModuleType) -> str:
    question, *paragraphs = (inspect.getdoc(module) or "").split("\n\n")
    prose = [f"```\n{inspect.cleandoc(text)}\n```" if text.startswith("    ") else text for text in paragraphs]
    shown, title = module.STUDY.summary(published.tables(name))
    return "\n\n".join(
        [
            f"## {name}",
            f"*{question}*",
            f"![{question}](../results/{name}/figure.png)",
            *prose,
            f"{title[0].upper()}{title[1:]}:",
            markdown(shown),
            f"```\n{published.command(name)}\n```",
            *(_variant(other) for other in published.folders(name)[1:]),
            "",
        ]
    )


def _variant(folder: str) -> str:
    command = published.command(folder)
    return f"[{folder}](../results/{folder}):\n\n![{folder}](../results/{folder}/figure.png)\n\n```\n{command}\n```"


def markdown(table: pd.DataFrame) -> str:
    """A table of Markdown; numbers have four digits."""
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    lines = [[str(name) for name in table.columns], ["---"] * len(table.columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def columns() -> str:
    """The text of docs/columns.md: what every column of every table means."""
    studies = {name: module.STUDY for name, module in experiments().items()}
    tables = [(name, table, own) for name, study in studies.items() for table, own in study.tables.items()]
    tables += [(f"--{option}", table, own) for option, asked in watched.TABLES.items() for table, own in asked.items()]
    uses = collections.Counter((column, kind) for _, _, own in tables for column, kind in own.items())
    common = {column: kind for (column, kind), count in reversed(uses.most_common()) if count > 2}
    text = [
        MADE,
        "",
        "# Columns",
        "",
        "An empty cell is a missing value. Accuracies are shares from 0 to 1, losses are in nats.",
    ]
    text += ["", "## In most tables", "", *_meanings(dict(sorted(common.items())))]
    text += ["", "## Of transformers, wherever there is a depth", "", *_meanings(BLOCKS)]
    for name, table, own in tables:
        rest = {column: kind for column, kind in own.items() if common.get(column) != kind}
        shared = ", ".join(f"`{column}`" for column in own if column not in rest)
        text += ["", f"## {name}: {table}.csv", "", *([f"And {shared}.", ""] if shared else []), *_meanings(rest)]
    return "\n".join(text) + "\n"


def _meanings(chosen: Mapping[str, Column]) -> list[str]:
    if not chosen:
        return []
    return ["| column | meaning |", "|---|---|", *(f"| `{name}` | {kind.meaning} |" for name, kind in chosen.items())]


def readme() -> str:
    """The README with the list of what was found."""
    text = (ROOT / "README.md").read_text()
    start, end = (text.index(mark) for mark in MARKS)
    lines = []
    for said, folders, found in FOUND:
        verdict, measured = found(*map(published.tables, folders))
        lines.append(f"- *{said}*: **{verdict}**. {measured} [{folders[0]}](docs/gallery.md#{folders[0]})")
    return "\n".join([text[:start] + MARKS[0], *lines, text[end:]])


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """This command has no options."""


def run(config: Config) -> None:
    """Writes all four."""
    (ROOT / "docs/gallery.md").write_text(gallery())
    (ROOT / "docs/columns.md").write_text(columns())
    (ROOT / "docs/index.html").write_text(index.index(experiments()))
    (ROOT / "README.md").write_text(readme())


if __name__ == "__main__":
    flags.main(Config, run)
