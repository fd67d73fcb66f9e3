"""A trained network is found again, by all that decides its results and by nothing else."""

import dataclasses
import hashlib

import pytest
from helpers import StopAt

from experiments import depth_scaling
from resjax.lab import trial as trials
from resjax.lab.options import option
from resjax.lab.store import Store
from resjax.lab.train import train
from resjax.lab.trial import Start, Trial, address, by_seed, recorded
from resjax.system import checksums
from resjax.system.errors import Failure, Stopped
from resjax.training import compilation

OTHER = {bool: True, int: 7, float: 0.25, str: "other", tuple: (5,)}  # values that are no defaults
QUIET = dataclasses.replace(depth_scaling.STUDY, draw=lambda tables, canvas: None)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs depth_scaling with these options in this process: the networks that were trained."""
    monkeypatch.setattr(compilation, "keep", lambda folder: None)  # for the rest of this process

    def run(**options):
        usual = dict(depths=(4,), connections=("residual",), norms=("none",), width=8, steps=4, log_every=2)
        usual |= {"learning_rate": 0.05}
        QUIET.run(depth_scaling.Config(workdir=str(tmp_path / "run"), **usual | options))
        return [line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if ": train accuracy" in line]

    return run


def test_an_address_is_the_hash_of_what_is_not_the_default():
    values = '{"connection": "scaled(beta=0.1)", "depth": 4, "network": "dense"}'
    text = f'{{"code": {{}}, "kind": "Trial", "semantics": {trials.SEMANTICS}, "values": {values}}}'
    trial = Trial(depth=4, connection="scaled(beta=0.1)")
    assert address(trial) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_an_option_that_is_new_changes_no_address():
    kind = dataclasses.make_dataclass(
        "Trial", [("sharpness", float, option(0.5, "an option of next year"))], bases=(Trial,), frozen=True
    )
    assert address(kind(depth=4, width=8)) == address(Trial(depth=4, width=8))
    assert address(kind(depth=4, width=8, sharpness=0.25)) != address(Trial(depth=4, width=8))


@pytest.mark.parametrize("field", dataclasses.fields(Trial), ids=lambda field: field.name)
def test_a_value_changes_the_address_if_it_changes_the_results(field):
    choices = [choice for choice in field.metadata["choices"] if choice not in ("", getattr(Trial(), field.name))]
    changed = Trial(**{field.name: choices[0] if choices else OTHER[type(field.default)]})
    assert (address(changed) != address(Trial())) == field.metadata["changes_results"]


@pytest.mark.parametrize(
    ("one", "other"),
    (
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"width": 0}, {"width": 64}),
        ({"network": "resnet", "width": 16, "order": "post"}, {"network": "resnet"}),
        ({"weight_decay": 0}, {}),
    ),
)
def test_equal_networks_have_one_address_however_they_are_written(one, other):
    assert address(Trial(**one)) == address(Trial(**other))


def test_a_trial_and_a_start_of_the_same_values_are_two():
    assert address(Trial()) != address(Start())


def test_the_version_of_the_meaning_changes_every_address(monkeypatch):
    before = address(Trial())
    monkeypatch.setattr(trials, "SEMANTICS", trials.SEMANTICS + 1)
    assert address(Trial()) != before


@pytest.mark.parametrize("name", ("block", "connection", "norm", "survival", "optimizer", "augment"))
def test_the_source_of_an_own_module_is_part_of_the_address(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(tmp_path)
    own = {name: ("mine_alone:Mine(a=1)",) if name == "augment" else "mine_alone:Mine(a=1)"}
    found = []
    for source in ("a = 1", "a = 2", "a = 1"):
        (tmp_path / "mine_alone.py").write_text(source)
        found.append(address(Trial(**own)))
    assert found[0] != found[1] and found[0] == found[2]


def test_a_seed_that_is_added_costs_only_itself(run):
    assert run(seeds=1) == ["residual/none depth 4 seed 0 rate 0.05"]
    assert run(seeds=2) == ["residual/none depth 4 seed 1 rate 0.05"]
    assert run(seeds=2) == []


def test_a_depth_that_is_added_costs_only_itself(run):
    run()
    assert run(depths=(8, 4)) == ["residual/none depth 8 seed 0 rate 0.05"]


def test_a_rate_that_is_added_costs_only_itself(run):
    run()
    assert run(learning_rate=0.0, learning_rates=(0.05, 0.1)) == ["residual/none depth 4 seed 0 rate 0.1"]


def test_a_network_that_was_stopped_at_a_goal_is_not_found_without_it(tmp_path):
    store = Store(tmp_path)
    goal = Trial(depth=4, width=8, steps=4, stop_accuracy=1e-9, stop_every=2)
    train(goal, store.folder(goal))
    assert store.result(goal) and store.result(dataclasses.replace(goal, stop_accuracy=0.0)) is None


def test_a_network_that_is_not_finished_has_no_result(tmp_path):
    store, trial = Store(tmp_path), Trial(depth=4, width=8, steps=4)
    with pytest.raises(Stopped):
        train(trial, store.folder(trial), StopAt(2))
    assert store.result(trial) is None


def test_the_record_is_the_configuration_the_result_and_the_curve(tmp_path):
    store, trial = Store(tmp_path), Trial(depth=4, width=8, steps=4, log_every=2, num_seeds=2, seed=3)
    done = train(trial, store.folder(trial))
    assert store.result(trial) == done and done["steps"] == 4
    assert checksums.read_json(store.folder(trial), "config.json") == recorded(trial) | {"augment": ["none"]}
    rows = [row for line in store.curve(trial) for row in by_seed(trial, line)]
    assert [(row["seed"], row["step"]) for row in rows] == [(3, 2), (4, 2), (3, 4), (4, 4)]
    assert all(isinstance(row["loss"], float) for row in rows) and rows[0]["loss"] != rows[1]["loss"]


@pytest.mark.parametrize("name", ("done.json", "metrics.jsonl"))
def test_a_damaged_record_is_named(tmp_path, name):
    store, trial = Store(tmp_path), Trial(depth=4, width=8, steps=2, log_every=1)
    train(trial, store.folder(trial))
    path = store.folder(trial) / name
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(Failure, match=f"{name} is damaged"):
        (store.result if name == "done.json" else store.curve)(trial)
