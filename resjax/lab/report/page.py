"""The report as a page of HTML: verdict, checks beside the networks compared with, what to try, figures, tables."""

import dataclasses
import functools
import html
import importlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from etils import epath

from resjax.lab import environment, flags, page
from resjax.lab.config import Architecture
from resjax.lab.report import trials
from resjax.lab.report.advice import advice
from resjax.reporting.checks import NONE, Check
from resjax.reporting.limits import BAD, OK
from resjax.system import distributed, files
from resjax.system.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Tables = Mapping[str, "pd.DataFrame"]
Command = Callable[["pd.Series"], str]
FAILS = 3  # the exit code of networks that do not train
FIGURES = {
    "figure": "Left: what is learned, step by step, at the depth asked for. Middle: against the depth, each network at "
    "its best learning rate. Right: that rate, and the largest at which it trains.",
    "signals": "The start, before any training: mean squares of activations and gradients, cosines, block by block.",
}
TRAINING = "dataset", "optimizer", "batch_size"  # which are not the usual ones here
EXTRA = {  # what the commands of some experiments need
    "signal_propagation": ["--networks=0", "--depths={}"],
    "depth_scaling": ["--depths={}"],
    "learning_rate": ["--depths={}"],
}


def write(tables: Tables, folder: epath.Path, config: Any) -> int:
    """Writes report.html beside the tables, and says where, or prints the checks as JSON; returns the exit code."""
    if distributed.is_primary():
        svgs = {name: (folder / f"{name}.svg").read_text() for name in FIGURES}
        made = shlex.join(["python", "-m", "experiments.report", *flags.command_line(config, {})])
        text = html_of(tables, svgs, made, functools.partial(command_of, config))
        files.write(folder / "report.html", text.encode())
    trains = bool(tables["results"].query("not beside")["trains"].all())
    if config.json:
        print(json.dumps(as_json(tables), indent=1))
    else:
        print(f"report: {folder}/report.html")
    return 0 if trains else FAILS


def as_json(tables: Tables) -> dict[str, Any]:
    """Verdicts, results and checks, ready for JSON: NaN, which it has not, is null."""
    found = {name: json.loads(tables[name].to_json(orient="records")) for name in ("results", "checks")}
    return {"verdict": trials.verdicts(tables), "start": trials.accuracy()} | found


def html_of(tables: Tables, svgs: Mapping[str, str], made: str, command: Command) -> str:
    """The page.

    Args:
      tables: those of `experiments.report`.
      svgs: the `FIGURES`.
      made: how it was made.
      command: what gives the whole of a check, of a row of `checks`; empty if nothing does.
    """
    asked = tables["results"].query("not beside")
    title = f"Does it train at depth {asked['depth'].iloc[0]}?"
    parts = [
        f"<h1>{title}</h1>",
        *_verdicts(tables),
        f'<p class="soft">{html.escape(trials.accuracy())}</p>',
        "<h2>Checks</h2>",
        _checks(tables["checks"], command),
        "<h2>What to try</h2>",
        *_advice(tables["checks"].query("not beside")),
        "<h2>Figures</h2>",
        *(page.drawn(svgs[name], caption, caption) for name, caption in FIGURES.items()),
        '<div class="screen">',
        "<h2>All that was trained</h2>",
        page.table(tables["rates"].drop(columns="beside"), "rates"),
        "</div>",
        "<h2>Cost</h2>",
        page.table(_cost(tables), "cost"),
        "<h2>How it was made</h2>",
        f"<pre>{html.escape(made)}</pre>",
        f'<p class="soft">{html.escape(_versions())}</p>',
    ]
    return page.document(title, "\n".join(parts))


def _verdicts(tables: Tables) -> Iterator[str]:
    asked = tables["results"].query("not beside")
    for sentence, trains in zip(trials.verdicts(tables), asked["trains"], strict=True):
        yield f'<p class="verdict {OK if trains else BAD}">{html.escape(sentence)}</p>'


def _checks(checks: "pd.DataFrame", command: Command) -> str:
    """A check a row, a network a column."""
    subjects = list(checks["subject"].unique())
    lines = []
    for name, own in checks.groupby("check", sort=False):
        first = own.iloc[0]
        by_subject = own.set_index("subject", drop=False)
        cells = [f'<th scope="row">{html.escape(str(name))}</th>']
        cells += [_judged(by_subject.loc[each]) if each in by_subject.index else "<td>–</td>" for each in subjects]
        why = html.escape(f"{first['threshold']}: {first['reason']}")
        text = command(first)
        cells.append(f'<td class="soft">{why}{f"<br><code>{html.escape(text)}</code>" if text else ""}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return page.grid(["check", *subjects, "threshold and reason"], "\n".join(lines), "checks", "stack")


def _judged(row: "pd.Series") -> str:
    status = f'<br><span class="status {row["status"]}">{row["status"]}</span>' if row["status"] != NONE else ""
    subject, shown = (html.escape(row[name]) for name in ("subject", "shown"))
    return f'<td data-head="{subject}" data-value="{row["value"]}">{shown}{status}</td>'


def _advice(checks: "pd.DataFrame") -> Iterator[str]:
    for name, own in checks.groupby("subject", sort=False):
        seen = {row["check"]: Check(**{field: row[field] for field in Check._fields}) for row in own.to_dict("records")}
        items = "".join(
            f"<li>{html.escape(rule.why)}: {html.escape(rule.attempt)}, <code>{html.escape(rule.flags)}</code> "
            f'<span class="soft">({html.escape(rule.source)})</span></li>'
            for rule in advice(seen)
        )
        yield f"<p>{html.escape(str(name))}:</p><ul>{items or '<li>nothing that a rule knows of</li>'}</ul>"


def _cost(tables: Tables) -> "pd.DataFrame":
    known = [name for name in ("subject", "depth", "parameters", "flops", "memory") if name in tables["results"]]
    results = tables["results"][known]
    if "timings" not in tables:
        return results
    timings = tables["timings"].drop(columns=["total_seconds", "beside"])
    return results.merge(timings, on=["subject", "depth"])


def command_of(config: Any, row: "pd.Series") -> str:
    """The command that gives the whole of a check of the first network asked for; empty where none can."""
    module = f"experiments.{row['experiment']}"
    study = importlib.import_module(module).STUDY
    known = {field.name for field in dataclasses.fields(study.config)}
    usual = Architecture(network=config.network)
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(Architecture)}
    values = {name: value for name, value in shared.items() if value != getattr(usual, name)}
    values = ({"network": config.network} if config.network != "dense" else {}) | values
    values |= {"connections": config.connections[0], "norms": config.norms[0]}
    values |= {name: getattr(config, name) for name in TRAINING if name in known}
    words = [*flags.spelled(values), *(text.format(config.depth) for text in EXTRA.get(row["experiment"], []))]
    try:
        study.check(words)
    except UserError:  # it cannot be asked of this network
        return ""
    return shlex.join(["python", "-m", module, *words])


def _versions() -> str:
    known = environment.environment()
    packages = ", ".join(f"{name} {version}" for name, version in known["packages"].items())
    return f"Python {known['python']}, {packages}; {known['device']}"
