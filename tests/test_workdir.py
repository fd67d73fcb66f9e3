"""A work directory: tables that read back to the last bit, and nothing that belongs to somebody else touched."""

import json
import re

import pytest

from experiments.depth_scaling import TABLES, Config
from resjax.lab.environment import environment
from resjax.lab.workdir import WorkDirectory, work_directory
from resjax.system import checksums
from resjax.system.errors import Failure, UserError
from resjax.training.metrics import Metrics

ROW = {
    "connection": "plain", "norm": "none", "seed": 0, "parameters": 3, "train_loss": 0.1, "train_accuracy": 1 / 3,
    "test_accuracy": 0.5, "diverged": None, "first_step_seconds": 1.0, "step_milliseconds": 2.0, "total_seconds": 3.0,
    "step": 20, "loss": 1e-300, "accuracy": 0.0, "width": 64, "learning_rate": 0.1, "at_edge": False, "steps": 200,
    "chosen": True,
}  # fmt: skip
ROWS = [ROW | {"depth": 4}, ROW | {"depth": 6, "diverged": 7, "train_loss": float("nan")}]


def opened(path, experiment="depth_scaling", **options) -> WorkDirectory:
    work = work_directory(experiment, Config(workdir=str(path), **options), TABLES)
    work.open()
    return work


@pytest.fixture
def work(tmp_path):
    """A work directory with its tables."""
    work = opened(tmp_path / "run")
    work.write({name: ROWS for name in TABLES})
    return work


def contents(folder):
    return {path: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "lock"}


def test_a_table_reads_back_as_it_was_to_the_last_bit(work):
    tables = work.read()
    assert all(list(tables[name].columns) == list(TABLES[name]) for name in TABLES)
    assert tables["results"]["train_accuracy"].tolist() == [1 / 3, 1 / 3]
    assert tables["curves"]["loss"].tolist() == [1e-300, 1e-300] and tables["curves"]["norm"].tolist() == ["none"] * 2
    assert tables["results"].isna()["diverged"].tolist() == [True, False] and tables["results"]["diverged"][1] == 7


def test_taking_up_a_run_changes_nothing(work):
    before = contents(work.path)
    opened(work.path).write({name: ROWS for name in TABLES})
    assert before == contents(work.path)


def test_other_options_of_the_same_experiment_may_follow(work):
    opened(work.path, depths=(4,)).write({name: ROWS[:1] for name in TABLES})
    assert work.read()["results"]["depth"].tolist() == [4]
    with pytest.raises(UserError, match=r"are of other options: depths is \[4\] there and \[4, 10, .*\] here$"):
        opened(work.path, plot_only=True)


def test_another_experiment_is_refused(work):
    before = contents(work.path)
    with pytest.raises(UserError, match=r"holds the tables of depth_scaling: give another one"):
        opened(work.path, experiment="depth_frontier")
    assert before == contents(work.path)


def test_drawing_names_the_options_that_differ(work):
    with pytest.raises(UserError, match=r"width is 64 there and 32 here; steps is 200 there and 9 here$"):
        opened(work.path, width=32, steps=9, plot_only=True)


def test_what_does_not_change_results_may_differ_in_drawing(work):
    opened(work.path, plot_only=True, checkpoint_every=7, workers=2).read()


def test_an_option_that_an_older_run_did_not_know_had_its_default(work):
    older = checksums.read_json(work.path, "config.json")
    del older["survival"]
    checksums.write_json(work.path, "config.json", older)
    opened(work.path, plot_only=True)
    with pytest.raises(UserError, match=r"survival is 'none' there and 'linear\(last=0.5\)' here"):
        opened(work.path, plot_only=True, survival="linear(last=0.5)")


def test_drawing_needs_a_run_and_makes_nothing(tmp_path):
    with pytest.raises(UserError, match="there is no run in"):
        opened(tmp_path / "run", plot_only=True)
    assert not list(tmp_path.iterdir())


def test_a_directory_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="holds other files"):
        opened(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_killed_before_its_configuration_was_written_can_start_again(tmp_path):
    (tmp_path / "config.json.tmp").write_text('{"exper')
    (tmp_path / checksums.NAME).write_text(f"{'0' * 64}  config.json\n")
    (tmp_path / "store").mkdir()
    opened(tmp_path)


DAMAGES = (
    lambda text: text.replace("loss", "lass"), lambda text: text.replace("4,", "5,", 1), lambda text: "",
    lambda text: "\0" + text, lambda text: text[:-1],
)  # fmt: skip


@pytest.mark.parametrize("name", ("results", "curves"))
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_named_and_not_drawn(work, name, damage):
    path = work.path / f"{name}.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(Failure, match=f"{name}.csv is damaged"):
        work.read()
    work.write({name: ROWS for name in TABLES})
    assert len(work.read()[name]) == 2


def test_lines_of_metrics_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    texts = []
    with Metrics(tmp_path) as metrics:
        for step in (10, 20, 30):
            metrics.write(step, loss=step / 10)
            texts.append(metrics.text)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4')  # torn
    with Metrics(tmp_path, 20, texts[1]) as metrics:
        metrics.write(30, loss=[7, 8])
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0}, {"step": 30, "loss": [7.0, 8.0]}]
    assert metrics.text == (tmp_path / "metrics.jsonl").read_text()


def test_a_machine_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment()["git_commit"] is None


@pytest.mark.parametrize("name", ("config.json", "env.json", "SHA256SUMS"))
def test_a_damaged_record_does_not_cost_the_networks(tmp_path, name):
    work = work_directory("x", Config(workdir=str(tmp_path)), TABLES)
    work.open()
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes().replace(b"e", b"\xff", 1))
    with pytest.raises(Failure, match=re.escape(f"take another --workdir, with --store={tmp_path}/store")):
        work.open()
