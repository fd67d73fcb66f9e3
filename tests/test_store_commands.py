"""python -m resjax.lab.store: what is in a store, and what nobody will find any more."""

import dataclasses
import shutil
import sys

import pytest
from commands import holding
from helpers import StopAt

from resjax.lab import flags, store_commands
from resjax.lab import trial as trials
from resjax.lab.store import Store
from resjax.lab.train import train
from resjax.lab.trial import Trial, recorded
from resjax.system import checksums
from resjax.system.errors import Stopped, UserError

TRAINED = Trial(depth=4, width=8, steps=2, log_every=1)
OTHER = dataclasses.replace(TRAINED, learning_rate=0.5)
STOPPED = dataclasses.replace(TRAINED, seed=7)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store of two networks that are trained and one that is not to its end."""
    store = Store(tmp_path_factory.mktemp("trained") / "store")
    for trial in (TRAINED, OTHER):
        train(trial, store.folder(trial))
    with pytest.raises(Stopped):
        train(STOPPED, store.folder(STOPPED), StopAt(1))
    return store


@pytest.fixture
def store(trained, tmp_path):
    return Store(shutil.copytree(trained.path, tmp_path / "store"))


@pytest.fixture
def said(store, capsys, monkeypatch):
    """Runs a command: what it says."""
    monkeypatch.setattr(store_commands.console, "_width", 300)

    def said(*arguments):
        capsys.readouterr()
        monkeypatch.setitem(sys.modules, "__main__", sys.modules["resjax.lab.store"])  # as `python -m` does
        monkeypatch.setattr(sys, "argv", ["store", *arguments, f"--store={store.path}"])
        monkeypatch.setattr(flags.signal, "signal", lambda number, handler: None)  # of this process
        store_commands.main()
        return capsys.readouterr().out

    return said


def names(store):
    return {path.name for path in store.path.iterdir()}


def test_list_has_a_row_a_network_with_what_differs_alone(store, said):
    text = said("list")
    assert all(store.folder(trial).name[-16:] in text for trial in (TRAINED, OTHER, STOPPED))
    header = text.splitlines()[2]
    assert all(name in header for name in ("address", "learning_rate", "seed", "test_accuracy", "days old", "MB"))
    assert "width" not in header and f"3 networks in {store.path}" in text


def test_without_a_word_it_is_list(store, said):
    assert f"3 networks in {store.path}" in said()


def test_show_says_everything_of_the_networks_that_have_this_in_their_name(store, said):
    text = said("show", store.folder(OTHER).name[-16:])
    assert all(name in text for name in recorded(OTHER)) and "total_seconds" in text and "0.5" in text


def test_compare_says_what_differs(store, said):
    text = said("compare", *(store.folder(trial).name[-16:] for trial in (TRAINED, OTHER)))
    rows = {line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")}
    assert "learning_rate" in rows and "train_loss" in rows and not rows & {"width", "seed", "kind"}


def test_prune_removes_what_never_finished_and_keeps_what_is_found(store, said):
    gone = store.folder(STOPPED).name
    assert f"would remove {gone}: never finished" in said("prune") and gone in names(store)
    assert f"removed {gone}: never finished" in said("prune", "--execute")
    assert names(store) == {store.folder(trial).name for trial in (TRAINED, OTHER)}
    assert store.result(TRAINED) and store.result(OTHER)


def test_prune_keeps_what_was_measured_of_a_network_that_is_not_trained(store, said):
    checksums.write_json(store.folder(STOPPED), "measured/x.json", {})
    assert said("prune", "--execute") == "" and store.folder(STOPPED).name in names(store)


@pytest.mark.parametrize("name", ("config.json", "done.json", checksums.NAME))
def test_prune_removes_what_is_damaged(store, said, name):
    path = store.folder(TRAINED) / name
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1))
    assert f"removed {path.parent.name}: damaged" in said("prune", "--execute") and not path.parent.exists()


def test_prune_removes_what_is_of_another_version(store, said, monkeypatch):
    monkeypatch.setattr(trials, "SEMANTICS", trials.SEMANTICS + 1)
    assert said("prune", "--execute").count(": of another version") == 2 and names(store) == set()


def test_prune_keeps_what_was_trained_on_a_file_that_is_not_here_now(store, said):
    options = recorded(TRAINED) | {"dataset": "text:/nowhere/corpus.txt(window=8)"}
    checksums.write_json(store.folder(TRAINED), "config.json", options)
    assert store.folder(TRAINED).name not in said("prune", "--execute") and store.folder(TRAINED).exists()


def test_prune_keeps_what_is_of_a_kind_that_it_does_not_know(store, said):
    checksums.write_json(store.folder(TRAINED), "config.json", recorded(TRAINED) | {"kind": "Own"})
    assert store.folder(TRAINED).name not in said("prune", "--execute") and store.result(TRAINED)


def test_prune_leaves_alone_where_somebody_is_at_work(store, said):
    folder = store.folder(STOPPED)
    with holding(folder / "lock"):
        assert said("prune", "--execute") == "" and folder.exists()
    assert "never finished" in said("prune", "--execute") and not folder.exists()


def test_prune_removes_what_was_killed_as_it_began(store, said):
    (store.path / "begun").mkdir()
    (store.path / "begun/lock").touch()
    assert "begun" not in said("list")
    assert "removed begun: never finished" in said("prune", "--execute") and "begun" not in names(store)


def test_prune_keeps_what_is_young(store, said):
    assert said("prune", "--execute", "--days=1") == "" and len(names(store)) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    (
        (["lst"], "lst: give list, show NAME, compare NAME NAME, or prune"),
        (["show"], "show: give list, show NAME"),
        (["compare", "a"], "compare a: give list"),
        (["show", "nowhere"], "nowhere: 0 networks have this in their name: see `list`"),
        (["compare", "dense", "dense"], "dense: 3 networks have this in their name"),
    ),
)
def test_commands_that_cannot_be(store, arguments, says):
    with pytest.raises(UserError, match=says):
        store_commands.run(store_commands.Config(store=str(store.path), command=tuple(arguments)))


def test_a_store_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: there is no store"):
        store_commands.run(store_commands.Config(store=str(tmp_path / "nowhere")))
