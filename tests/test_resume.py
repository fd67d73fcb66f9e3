"""Real processes, really killed: the tables of a disturbed run equal those of an undisturbed one, bit for bit."""

import signal
import subprocess
import time

import pytest
from commands import SMALL, checkpointed, run, start

from tests.torture.commands import here

COMMAND = ("depth_scaling", *SMALL, "--steps=500")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    code, _, err = run(*COMMAND, f"--workdir={workdir}")
    assert (code, err) == (0, "")
    return workdir


def same(workdir, undisturbed):
    """The deterministic files of two runs are equal."""
    for pattern in ("results.csv", "config.json", "figure.png", "store/*/metrics.jsonl"):
        files = sorted(undisturbed.glob(pattern))
        assert files
        for path in files:
            other = workdir / path.relative_to(undisturbed)
            assert other.read_bytes() == path.read_bytes(), other
    return True


@pytest.mark.slow
def test_the_same_command_gives_the_same_table_again(undisturbed, tmp_path):
    assert run(*COMMAND, f"--workdir={tmp_path}/run")[0] == 0
    assert same(tmp_path / "run", undisturbed)


def test_a_finished_run_is_not_trained_again(undisturbed):
    before = (undisturbed / "timings.csv").read_bytes()
    code, out, _ = here(*COMMAND, f"--workdir={undisturbed}")
    assert code == 0 and "residual/batch depth 4 seed 0:" not in out
    assert (undisturbed / "timings.csv").read_bytes() == before


def test_the_figure_comes_from_the_table_alone(undisturbed):
    figure = (undisturbed / "figure.png").read_bytes()
    (undisturbed / "figure.png").unlink()
    assert here(*COMMAND, f"--workdir={undisturbed}", "--plot_only")[0] == 0
    assert (undisturbed / "figure.png").read_bytes() == figure


def test_kill_9_loses_nothing(undisturbed, tmp_path):
    process = start(*COMMAND, f"--workdir={tmp_path}/run", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not checkpointed(tmp_path / "run"):  # `tests.torture` kills at any moment, and often
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (tmp_path / "run/results.csv").exists()
    assert run(*COMMAND, f"--workdir={tmp_path}/run")[0] == 0
    assert same(tmp_path / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_signal_saves_and_leaves_with_its_code(undisturbed, tmp_path, number):
    process = start(*COMMAND, f"--workdir={tmp_path}/run")
    while not list(tmp_path.glob("run/store/*/metrics.jsonl")):
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 128 + number and err.count("\n") == 1 and number.name in err
    assert checkpointed(tmp_path / "run")
    assert run(*COMMAND, f"--workdir={tmp_path}/run")[0] == 0
    assert same(tmp_path / "run", undisturbed)
