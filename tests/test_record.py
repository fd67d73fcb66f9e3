import json

import pytest

from experiments.depth_scaling import TABLES, Config
from resjax.lab.config import Point
from resjax.lab.workdir import WorkDirectory, environment
from resjax.system.errors import Failure, UserError
from resjax.training.metrics import Metrics

RESULT = {"parameters": 3, "train_loss": 0.1, "train_accuracy": 1 / 3, "test_accuracy": 0.5, "diverged": None}
TIMING = {"first_step_seconds": 1.0, "step_milliseconds": 2.0, "total_seconds": 3.0}
POINTS = [Point(depth=4), Point(depth=6)]


def work_directory(path, **choices):
    return WorkDirectory.open("depth_scaling", Config(workdir=str(path), **choices), TABLES)


def finished(tmp_path):
    work = work_directory(tmp_path / "run")
    for point in POINTS:
        work.folder(point).mkdir(parents=True)
        work.finish(point, RESULT, TIMING)
    work.write_table("results", work.rows(POINTS))
    return work


def test_a_table_reads_back_as_it_was_to_the_last_bit(tmp_path):
    table = finished(tmp_path).read_table("results")
    assert table["train_accuracy"].tolist() == [1 / 3, 1 / 3] and table["depth"].tolist() == [4, 6]
    assert table["diverged"].isna().all() and list(table.columns) == list(TABLES["results"])


def test_taking_up_a_run_changes_nothing(tmp_path):
    finished(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*") if path.is_file()}
    work_directory(tmp_path / "run")
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*") if path.is_file()}


def test_another_configuration_is_refused_with_the_fields_that_differ(tmp_path):
    finished(tmp_path)
    with pytest.raises(UserError, match=r"width is 64 there and 32 here; steps is 200 there and 9 here$"):
        work_directory(tmp_path / "run", width=32, steps=9)


def test_an_option_that_an_older_run_did_not_know_had_its_default_for_drawing_alone(tmp_path):
    finished(tmp_path)
    path = tmp_path / "run" / "config.json"
    older = json.loads(path.read_text())
    del older["survival"]
    path.write_text(json.dumps(older))
    work_directory(tmp_path / "run", plot_only=True)
    with pytest.raises(UserError, match="survival is None there and 'none' here"):
        work_directory(tmp_path / "run")


def test_what_does_not_change_results_may_differ(tmp_path):
    finished(tmp_path)
    work_directory(tmp_path / "run", checkpoint_every=7, tensorboard=True)


def test_a_directory_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="holds other files"):
        work_directory(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_killed_before_its_configuration_was_written_can_start_again(tmp_path):
    (tmp_path / "config.json.tmp").write_text('{"exper')
    work_directory(tmp_path)


def test_every_flipped_bit_of_a_record_is_found(tmp_path):
    work = finished(tmp_path)
    path = work.folder(POINTS[0]) / "done.json"
    sound = path.read_bytes()
    for place in range(len(sound)):
        for bit in (0, 1, 4, 6):
            damaged = bytearray(sound)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                found = work.finished(POINTS[0])
            except Failure as error:
                assert "done.json" in str(error)
            else:
                assert found == (RESULT, TIMING)  # white space


@pytest.mark.parametrize(
    "damage",
    (
        lambda text: text.replace("train_loss", "train_lass"),
        lambda text: text.replace("0.1,", "0.l,"),
        lambda text: text.replace("\n4,", "\n4,4,"),
        lambda text: "",
        lambda text: "\0" + text,
    ),
)
def test_a_damaged_table_is_named_and_nothing_is_touched(tmp_path, damage):
    work = finished(tmp_path)
    path = work.path / "results.csv"
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    with pytest.raises(Failure, match=r"results.csv is damaged"):
        work_directory(tmp_path / "run")
    assert path.read_bytes() == before and len(work.rows(POINTS)) == 2


def test_metrics_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    with Metrics(tmp_path, 0, False) as metrics:
        for step in (10, 20, 30):
            metrics.write(step, loss=step / 10)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4')  # torn
    with Metrics(tmp_path, 20, False) as metrics:
        metrics.write(30, loss=7)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0}, {"step": 30, "loss": 7.0}]


def test_networks_that_trained_together_have_a_row_and_a_course_each(tmp_path):
    work, point = work_directory(tmp_path / "run"), Point(seed=3, num_seeds=2)
    work.folder(point).mkdir(parents=True)
    with Metrics(work.folder(point), 0, False) as metrics:
        for step in (10, 20):
            metrics.write(step, loss=[step, step + 1], learning_rate=0.1)
    work.finish(point, RESULT | {"train_loss": [0.1, 0.2], "diverged": [None, 7]}, TIMING)
    rows = [(row["seed"], row["train_loss"], row["diverged"], row["parameters"]) for row in work.rows([point])]
    assert rows == [(3, 0.1, None, 3), (4, 0.2, 7, 3)]
    learning_curves = [
        (row["seed"], row["step"], row["loss"], row["learning_rate"]) for row in work.learning_curves([point])
    ]
    assert learning_curves == [(3, 10, 10.0, 0.1), (3, 20, 20.0, 0.1), (4, 10, 11.0, 0.1), (4, 20, 21.0, 0.1)]


@pytest.mark.parametrize("name", ("results", "timings"))
def test_a_table_that_was_changed_is_not_drawn(tmp_path, name):
    work = finished(tmp_path)
    work.write_table("timings", work.rows(POINTS))
    path = work.path / f"{name}.csv"
    path.write_text(path.read_text().replace("3", "2", 1))
    with pytest.raises(Failure, match=f"{name}.csv differs from its checksum"):
        work.read_table(name)


def test_a_course_that_was_changed_is_not_used(tmp_path):
    work, point = work_directory(tmp_path / "run"), POINTS[0]
    work.folder(point).mkdir(parents=True)
    with Metrics(work.folder(point), 0, False) as metrics:
        metrics.write(10, loss=1)
        sealed = metrics.checksum_on_disk()
    work.finish(point, RESULT, TIMING)
    path = work.folder(point) / "metrics.jsonl"
    path.write_text(path.read_text().replace("1.0", "1.5"))
    with pytest.raises(Failure, match=r"metrics.jsonl is damaged"):
        work.learning_curves([point])
    with pytest.raises(Failure, match=r"metrics.jsonl is damaged"):
        Metrics(work.folder(point), 10, False, sealed)


def test_points_of_all_kinds_have_folders_of_their_own(tmp_path):
    work = work_directory(tmp_path / "run")
    points = [
        Point(connection=name) for name in ("scaled(beta=0.1)", "scaled(beta=0.2)", "../../x:Y", "a:B", "residual")
    ]
    folders = [work.folder(point) for point in points]
    assert len(set(folders)) == 5 and all(folder.resolve().parent == (tmp_path / "run/points") for folder in folders)


def test_a_machine_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment()["git_commit"] is None
