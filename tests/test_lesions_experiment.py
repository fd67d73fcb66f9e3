"""The experiment `lesions`, and the networks that it takes of another run."""

import dataclasses
import json
import re

import pandas as pd
import pytest
from commands import run

from experiments import lesions as experiment
from experiments import lesions_measure
from resjax.lab import other_runs as runs
from resjax.lab import plan as planning
from resjax.lab import trial
from resjax.lab.config import Point, option
from resjax.lab.workdir import WorkDirectory
from resjax.system import files
from resjax.system.errors import UserError
from resjax.training.evaluation import evaluate, evaluate_batch


def test_all_lesions_of_a_network_run_in_one_program():
    point = experiment.Lesioned(width=8, depth=8, deletions=(1, 2), swapped=(1, 3), draws=3, permutation=(0, 2, 1))
    planned = planning.plan(point)
    built, _, dataset = planned
    carry = planning.start(planned, point)
    compiled = evaluate_batch._cache_size()
    rows = lesions_measure.measure(point, built, carry, dataset)["rows"]
    assert len(rows) == 1 + 3 + 1 + 4 * 3 and evaluate_batch._cache_size() == compiled + 1
    loss, accuracy = evaluate(built, carry.params, carry.state, dataset.test)
    assert (rows[0]["kind"], rows[0]["accuracy"]) == ("none", accuracy) and rows[0]["loss"] == pytest.approx(loss)
    assert all(
        (row["kendall_tau"] < 1) == (row["kind"] in ("swap", "permutation")) for row in rows if row["count"] == 1
    )


@dataclasses.dataclass(frozen=True)
class Own(Point):
    """A point of another experiment, whose configuration hashes differently."""

    extra: int = option(3, "")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with two networks that trained together in an experiment of its own, as an older version left it."""
    work = WorkDirectory(tmp_path_factory.mktemp("finished"), {})
    point = Own(depth=4, width=8, steps=5, connection="plain", num_seeds=2)
    work.finish(point, *trial.train(point, work.folder(point)))
    path = work.folder(point) / "config.json"
    files.write_checked(path, {name: value for name, value in files.read_checked(path).items() if name != "clip_norm"})
    return work.path


def test_networks_of_another_run_are_restored_as_they_were_trained(finished):
    saved = runs.networks_of(finished)
    assert [(point.connection, point.seed) for point, _ in saved] == [("plain", 0), ("plain", 1)]
    for at, (point, folder) in enumerate(saved):
        built, carry, dataset = runs.restore(point, folder)
        result = json.loads((folder / "done.json").read_text())["result"]
        assert evaluate(built, carry.params, carry.state, dataset.test)[1] == result["test_accuracy"][at]
        assert runs.diverged(point, folder) is None


@pytest.mark.parametrize(
    "flags", ({}, {"connections": ("plain",)}, {"depth": 4, "width": 8, "steps": 5, "learning_rate": 0.05, "seeds": 2})
)
def test_flags_that_agree_with_the_other_run(finished, flags):
    taken = lesions_measure.taken(experiment.Config(from_=str(finished), data_dir="/elsewhere", **flags))
    assert [(point.seed, point.data_dir) for point, _ in taken] == [(0, "/elsewhere"), (1, "/elsewhere")]


@pytest.mark.parametrize(
    ("flags", "says"),
    (
        ({"width": 32}, "width is 8 there and 32 here"),
        ({"network": "resnet"}, "network is dense there and resnet here"),
        ({"connections": ("plain", "rezero")}, "connection is plain there and rezero here"),
        ({"seeds": 3}, "seed is 0, 1 there and 2 here"),
        ({"from_": "/nowhere"}, "--from=/nowhere: is not the work directory of a run"),
    ),
)
def test_flags_that_contradict_the_other_run(finished, flags, says):
    with pytest.raises(UserError, match=re.escape(says)):
        lesions_measure.taken(experiment.Config(**{"from_": str(finished)} | flags))


def test_what_the_table_does_not_tell_apart_is_chosen_by_flags(monkeypatch):
    points = [Point(depth=depth, norm=norm) for depth in (8, 4) for norm in ("batch", "none")]
    monkeypatch.setattr(runs, "networks_of", lambda workdir, trusted: [(point, workdir) for point in points])

    def taken(**flags):
        return [point for point, _ in lesions_measure.taken(experiment.Config(from_="other", **flags))]

    assert taken(depth=8) == points[:1] and taken(depth=4, norm="none") == points[3:]
    with pytest.raises(UserError, match="--from=other: depth is 4, 8 there: choose one with --depth"):
        taken()


def test_checkpoints_that_are_missing_or_of_another_network(finished, tmp_path):
    (tmp_path / "points").mkdir()
    with pytest.raises(UserError, match="none of its networks has a checkpoint"):
        runs.networks_of(tmp_path)
    point, folder = runs.networks_of(finished)[0]
    with pytest.raises(UserError, match=r"--from: .* of another run: .* is float32\[2, 8\], expected float32\[2, 9\]"):
        runs.restore(dataclasses.replace(point, width=9), folder)


@pytest.mark.slow
def test_the_networks_of_its_own_run_give_the_same_table(tmp_path):
    small = ("--deletions=1,2", "--swapped=1,4", "--draws=2")
    training = ("--depth=8", "--width=8", "--steps=20", "--batch_size=32", "--seeds=2")
    tables = []
    for name, flags in (("run", (*training, *small)), ("again", (f"--from={tmp_path}/run", *small))):
        code, out, err = run("lesions", *flags, f"--workdir={tmp_path}/{name}")
        assert (code, err) == (0, ""), err
        assert f"figure: {tmp_path}/{name}/figure.png" in out and (tmp_path / f"{name}/figure.pdf").exists()
        tables.append(pd.read_csv(tmp_path / f"{name}/results.csv"))
    assert ",".join(tables[0].columns) == "network,training,seed,kind,count,draw,block,kendall_tau,loss,accuracy"
    assert set(tables[0]["kind"]) == {"none", "delete", "delete_random", "swap"}
    pd.testing.assert_frame_equal(*tables)
