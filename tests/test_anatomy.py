"""Where the time of a command goes: every stack belongs to one part, and the parts are the whole."""

import importlib.util
import pathlib
import sys
import threading
import types

import pandas as pd
import pytest
from commands import run

from benchmarks import anatomy, sampling
from resjax.lab import flags
from resjax.lab.workdir import work_directory

LOOP = ("/home/me/resjax/resjax/training/loop.py", "run")
CHECKS = ("/home/me/resjax/resjax/lab/plan.py", "plan")
START = ("/home/me/resjax/resjax/lab/plan.py", "start")
COMPILER = ("/venv/site-packages/jax/_src/compiler.py", "backend_compile_and_load")
IMPORT = ("<frozen importlib._bootstrap>", "_load_unlocked")


@pytest.mark.parametrize(
    ("stack", "part"),
    (
        ([LOOP], "steps"),
        ([("/venv/site-packages/jax/_src/pjit.py", "_python_pjit_helper"), LOOP], "steps"),
        ([COMPILER, LOOP], "compiling"),
        ([IMPORT, COMPILER, LOOP], "imports"),
        ([CHECKS], "checks"),
        ([START], "first weights"),
        ([("/home/me/other/plan.py", "plan")], "rest"),
        ([], "rest"),
    ),
)
def test_what_a_stack_belongs_to(stack, part):
    assert sampling.part_of(stack) == part


def test_the_files_of_the_rules_are_there():
    for _, places in sampling.RULES:
        for place in places:
            path, _, function = place.partition(":")
            if path.endswith(".py"):
                spec = importlib.util.find_spec(path.removesuffix(".py").replace("/", "."))
                assert f"def {function}" in pathlib.Path(spec.origin).read_text()


def test_the_stack_of_another_thread_is_read():
    names = {}
    exec(compile("def wait(asked, go): asked.set(); go.wait()", LOOP[0], "exec"), names)
    asked, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=names["wait"], args=(asked, go))
    thread.start()
    assert asked.wait(60)
    found = list(sampling.frames(thread.ident))
    go.set()
    thread.join()
    assert (LOOP[0], "wait") in found
    assert sampling.part_of(found) == "steps"


def test_two_commands_have_two_tables():
    asked = [[], ["--", "experiments.depth_scaling", "--depths=20"], ["--", "experiments.lesions"]]
    configs = [flags.parse(anatomy.Config, ["anatomy", *words]) for words in asked]
    folders = {work_directory("anatomy", config, {}).path for config in configs}
    assert len(folders) == 3 and configs[0].command == anatomy.MAIN


def test_the_parts_are_the_whole_time(monkeypatch):
    times = iter([10.0, 13.0, 14.0, 21.0])  # as it begins, at two looks, at its end
    looks = iter([False, False, True])
    looked = threading.Event()

    class Done:
        """Waits for nothing, and ends the second thread after two looks."""

        def set(self):
            looked.wait(60)

        def wait(self, seconds):
            ended = next(looks)
            if ended:
                looked.set()
            return ended

    threads = types.SimpleNamespace(Event=Done, Thread=threading.Thread, get_ident=threading.get_ident)
    monkeypatch.setattr(sampling, "threading", threads)
    monkeypatch.setattr(sampling, "time", types.SimpleNamespace(perf_counter=lambda: next(times)))
    monkeypatch.setattr(sampling.runpy, "run_module", lambda *_, **__: None)
    monkeypatch.setattr(sampling, "part_of", lambda stack: "steps")
    monkeypatch.setattr(sys, "argv", [])
    assert {part: spent for part, spent in sampling.sampled("module", []).items() if spent} == {"steps": 4, "rest": 7}


@pytest.mark.slow
def test_the_parts_of_two_runs_are_those_of_a_training(tmp_path):
    small = ["--depths=4", "--connections=residual", "--norms=batch", "--steps=3", "--learning_rates=0.1", "--width=8"]
    code, _, err = run("benchmarks.anatomy", f"--workdir={tmp_path}/anatomy", "--", "experiments.depth_scaling", *small)
    assert code == 0, err
    table = pd.read_csv(tmp_path / "anatomy/results.csv")
    assert list(table["run"].unique()) == ["first", "second"]
    first, second = (table[table["run"] == run].set_index("part")["seconds"] for run in ("first", "second"))
    assert (first[["imports", "compiling", "steps"]] > 0).all() and second["imports"] > 0
