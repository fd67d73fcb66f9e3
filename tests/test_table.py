"""The table of a benchmark: planned before anything is made, written as it grows, and never under other options."""

import dataclasses

import jax
import pandas as pd
import pytest

import resjax
from benchmarks.table import table
from resjax.lab.config import Writing
from resjax.lab.options import option
from resjax.lab.tables import columns, whole
from resjax.system import platform
from resjax.system.errors import UserError

COLUMNS = columns(turn=whole("of it"))
ROWS = [{"turn": 1}, {"turn": 2}]


@dataclasses.dataclass(frozen=True)
class Config(Writing):
    size: int = option(1, "of it")


@pytest.fixture
def config(tmp_path):
    return Config(workdir=str(tmp_path / "out"))


def failing():
    """The second row fails."""
    yield ROWS[0]
    raise RuntimeError("the machine stops")


def refused():
    raise UserError("no such measurement")


def unknown(backend):
    raise RuntimeError(f"Unknown backend {backend}")


def lying(config):
    """What lies there."""
    return pd.read_csv(f"{config.workdir}/results.csv")["turn"].tolist()


def test_what_is_measured_is_shown_again_without_measuring(config, capsys):
    assert table("some", config, COLUMNS, lambda: ROWS)["turn"].tolist() == [1, 2]
    assert capsys.readouterr().out.endswith(f"table: {config.workdir}/results.csv\n")
    shown = dataclasses.replace(config, plot_only=True)
    assert table("some", shown, COLUMNS, refused)["turn"].tolist() == [1, 2]


def test_what_was_measured_before_a_failure_stays(config):
    with pytest.raises(RuntimeError):
        table("some", config, COLUMNS, failing)
    assert lying(config) == [1]


def test_rows_of_other_options_are_gone_before_the_first_is_measured(config):
    table("some", config, COLUMNS, lambda: ROWS)
    other = dataclasses.replace(config, size=2)
    with pytest.raises(ZeroDivisionError):
        table("some", other, COLUMNS, lambda: ({"turn": 1 // at} for at in range(2)))
    assert lying(config) == []


def test_what_is_refused_makes_nothing(config, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such measurement"):
        table("some", config, COLUMNS, refused)
    monkeypatch.setattr(platform, "check", refused)
    with pytest.raises(UserError):
        table("some", config, COLUMNS, lambda: ROWS)
    assert not list(tmp_path.iterdir())


def test_operations_that_cannot_be_counted_are_refused_with_what_to_say(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(jax, "local_devices", unknown)
    with pytest.raises(UserError, match=r"^JAX_PLATFORMS=cuda: say cuda,cpu, for operations are counted as of a CPU$"):
        resjax.forward_flops(resjax.models.dense(4), jax.ShapeDtypeStruct((1, 8, 8, 1), "float32"))
