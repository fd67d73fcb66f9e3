"""docs/index.html: what is said of deep networks and what was measured, and every experiment, on one page."""

import html
import inspect
import re
from collections.abc import Iterator, Mapping
from types import ModuleType

from resjax.lab import page
from resjax.lab.site import published
from resjax.lab.site.claims import CLAIMS
from resjax.lab.site.found import FOUND

COST = re.compile(r"in ([\w ]+? (?:minutes?|hours?))(?: each)?,? on 2 CPU cores")
TITLE = "How deep can a network go, and why?"


def index(experiments: Mapping[str, ModuleType]) -> str:
    """The page, of tables and docstrings alone; its pictures lie beside it in the repository."""
    claims = "\n".join(_claim(*claim, experiments) for claim in (*FOUND, *CLAIMS))
    heads = [
        "what is said",
        "verdict",
        "what was measured, mean ± 95 % interval, and by which command",
        "figure",
        "time",
    ]
    parts = [
        f"<h1>{TITLE}</h1>",
        "<p>resjax trains plain and residual stacks of layers, to 1000 and beyond, and measures what becomes of them. "
        "Claims and tables are made from the results in the repository, by the commands beside them. The paragraphs "
        "that begin with Found are written by hand.</p>",
        "<h2>What is said, and what was measured</h2>",
        page.grid(heads, claims, "claims", "stack"),
        "<h2>Experiments</h2>",
        "<p>" + " · ".join(f'<a href="#{name}">{name}</a>' for name in experiments) + "</p>",
        *(part for name, module in experiments.items() for part in _experiment(name, module)),
    ]
    return page.document(f"resjax: {TITLE}", "\n".join(parts))


def _claim(said: str, folders: tuple[str, ...], found, experiments: Mapping[str, ModuleType]) -> str:
    verdict, measured = found(*map(published.tables, folders))
    name = published.experiment(folders[0])
    commands = "<br>".join(f"<code>{html.escape(published.command(folder))}</code>" for folder in folders)
    time = "not timed"
    if folders[0] == name:  # whose command it is that the docstring times
        time = f"{cost(experiments[name])} on 2 cores{', the first' if folders[1:] else ''}"
    cells = [
        html.escape(said),
        f"<strong>{html.escape(verdict)}</strong>",
        f"{html.escape(measured)}<br>{commands}",
        f'<a href="#{name}">{_picture(folders[0], said, "thumb")}</a>',
        time,
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _experiment(name: str, module: ModuleType) -> Iterator[str]:
    question, *paragraphs = (inspect.getdoc(module) or "").split("\n\n")
    yield f'<h3 id="{name}">{name}: {html.escape(question)}</h3>'
    yield f"<figure>{_picture(name, question)}<figcaption>{html.escape(question)}</figcaption></figure>"
    for text in paragraphs:
        yield f"<pre>{html.escape(inspect.cleandoc(text))}</pre>" if text.startswith("    ") else f"<p>{code(text)}</p>"
    shown, title = module.STUDY.summary(published.tables(name))
    yield f"<p>{html.escape(title[0].upper() + title[1:])}:</p>"
    yield page.table(shown, name)
    for folder in published.folders(name):
        if folder != name:
            yield f"<figure>{_picture(folder, f'{question} ({folder})')}<figcaption>{folder}</figcaption></figure>"
        yield f"<pre>{html.escape(published.command(folder))}</pre>"
        links = (f'<a href="../results/{folder}/{table}.csv">{table}.csv</a>' for table in published.tables(folder))
        yield f'<p class="soft">all of it: {", ".join(links)}</p>'


def _picture(folder: str, alt: str, kind: str = "") -> str:
    chosen = f' class="{kind}"' if kind else ""
    return f'<img{chosen} loading="lazy" src="../results/{folder}/figure.png" alt="{html.escape(alt)}">'


def code(text: str) -> str:
    """A paragraph of a docstring: what stands between backquotes is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def cost(module: ModuleType) -> str:
    """How long its published run took, as its docstring says; "–" if it does not."""
    match = COST.search(re.sub(r"\s+", " ", inspect.getdoc(module) or ""))
    return match[1] if match else "–"
