"""Programs are compiled in the background, in the order in which they are needed, and at most once."""

import threading
from concurrent.futures import CancelledError, Future

import pytest

from experiments import invertibility
from resjax.lab import ahead, running
from resjax.lab.ahead import Ahead
from resjax.lab.part import Part
from resjax.lab.trial import Trial, program

A, B, C = (Trial(depth=depth) for depth in (10, 20, 30))


class Compiler:
    """Compiles when it is told to, and remembers what."""

    def __init__(self):
        self.begun = []
        self.working = threading.Event()
        self.go = threading.Event()

    def __call__(self, trial):
        self.begun.append(trial)
        self.working.set()
        self.go.wait()
        if trial == C:
            raise ValueError("does not compile")


@pytest.fixture
def compiler(monkeypatch):
    found = Compiler()
    monkeypatch.setattr(ahead.plan, "compile_ahead", found)
    monkeypatch.setattr(ahead.platform, "cores", lambda: {0, 1})
    yield found
    found.go.set()


def never(trial):
    return None


def test_a_program_that_is_being_compiled_is_waited_for(compiler):
    programs = Ahead([A], never)
    asked = threading.Event()
    done = threading.Event()

    class Watched(Future):
        """A program that is being compiled, and says when it is waited for."""

        def exception(self, timeout=None):
            asked.set()
            return super().exception(timeout)

    pending = Watched()
    pending.set_running_or_notify_cancel()
    programs._pending[program(A)] = pending
    threading.Thread(target=lambda: (programs.ready(A), done.set())).start()
    assert asked.wait(60) and not done.is_set()
    pending.set_result(None)
    assert done.wait(60)
    compiler.go.set()
    programs.close()


def test_one_that_has_not_begun_is_left_to_who_needs_it(compiler):
    programs = Ahead([A, B], never)
    assert compiler.working.wait(60)
    programs.ready(B)  # returns at once
    compiler.go.set()
    programs.close()
    assert compiler.begun == [A]


def test_close_begins_no_other(compiler):
    programs = Ahead([A, B], never)
    assert compiler.working.wait(60)
    closing = threading.Thread(target=programs.close)
    closing.start()
    with pytest.raises(CancelledError):  # while the first is still being compiled
        programs._pending[program(B)].result(60)
    compiler.go.set()
    closing.join(60)
    assert compiler.begun == [A]


def test_rates_and_seeds_share_a_program_and_what_is_trained_needs_none(compiler):
    compiler.go.set()
    programs = Ahead([A, Trial(depth=10, seed=3), Trial(depth=10, learning_rate=0.7), B, C], [B].count)
    programs._thread.submit(lambda: None).result()  # the last in the queue
    programs.ready(C)  # does not compile: that is said where it is trained
    programs.close()
    assert compiler.begun == [A, C]


def test_one_core_compiles_nothing_beside_training(compiler, monkeypatch):
    monkeypatch.setattr(ahead.platform, "cores", lambda: {3})
    programs = Ahead([A, B], never)
    programs.ready(A)
    programs.close()
    assert compiler.begun == []


def test_the_deepest_networks_train_first_and_the_rows_keep_their_order():
    trained = []

    class Study:
        tuned = False
        programs = None

        def rows(self, bench, trial, config):
            trained.append(trial.depth)
            yield "results", {"depth": trial.depth}

    class Bench:
        def done(self, share):
            pass

    parts = [Part({}, None, trial) for trial in (A, C, B)]
    rows = running._rows(Study(), Bench(), parts)
    assert trained == [30, 20, 10]
    assert [row["depth"] for ((_, row),) in rows] == [10, 30, 20]
    assert running._programs(Study(), parts) == [C, B, A]


def test_networks_that_are_only_read_at_their_start_have_no_program():
    for when, expected in ((("start",), []), (("start", "trained"), [A.depth])):
        parts = [Part({}, invertibility.Config(when=when), A)]
        assert [trial.depth for trial in running._programs(invertibility.STUDY, parts)] == expected
