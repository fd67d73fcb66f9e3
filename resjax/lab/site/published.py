"""What `results/` holds: the tables shown here, and the commands that made them."""

import importlib
import json
import pathlib
import shlex
from typing import Any

import pandas as pd

from resjax.lab import flags
from resjax.lab.options import relevant

ROOT = pathlib.Path(__file__).parents[3]
RESULTS = ROOT / "results"


def tables(folder: str) -> dict[str, pd.DataFrame]:
    """The tables of results/FOLDER."""
    return {
        path.stem: pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in (RESULTS / folder).glob("*.csv")
    }


def folders(experiment: str) -> list[str]:
    """The folders of an experiment's tables: that of its name first, then others', by name."""
    found = [path.parent.name for path in sorted(RESULTS.glob("*/config.json"))]
    return sorted((name for name in found if _recorded(name)["experiment"] == experiment), key=experiment.__ne__)


def experiment(folder: str) -> str:
    """The name of the experiment that made results/FOLDER."""
    return _recorded(folder)["experiment"]


def command(folder: str) -> str:
    """The command that made the tables of results/FOLDER: the values that are not the defaults of its network."""
    recorded = _recorded(folder)
    module = f"experiments.{recorded.pop('experiment')}"
    config = importlib.import_module(module).STUDY.config
    network = {"network": recorded["network"]} if "network" in recorded else {}
    usual = relevant(config()) | relevant(config(**network)) | {"network": relevant(config()).get("network")}
    return shlex.join(["python", "-m", module, *flags.spelled({k: v for k, v in recorded.items() if v != usual[k]})])


def _recorded(folder: str) -> dict[str, Any]:
    return json.loads((RESULTS / folder / "config.json").read_text())
