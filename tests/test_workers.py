"""Several processes share the networks of one command, whatever becomes of one of them."""

import pathlib
import re
import signal
import subprocess
import time

import pandas as pd
import pytest
from commands import one_core, start

from resjax.lab import workers

NETWORKS = (
    "--depths=4,6,8",
    "--learning_rate=0.05",
    "--width=8",
    "--connections=residual",
    "--norms=batch",
    "--checkpoint_every=10",
)
COMMAND = ("depth_scaling", *NETWORKS, "--steps=60", "--log_every=10")
NUMBERS = ("--depths=1,2,3,4", "--seconds=1")


def begin(*arguments):
    """Starts the command on one core."""
    with one_core():
        return start(*COMMAND, *arguments)


def numbers(*arguments):
    """Starts a study that trains nothing."""
    return start("tests.product_study", *arguments)


def ended(process):
    """What it has said; it has ended well."""
    out, err = process.communicate()
    assert (process.returncode, err) == (0, ""), err
    return out


def tables(workdir):
    return [(workdir / f"{name}.csv").read_bytes() for name in ("results", "curves")]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The tables of one process."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    ended(begin(f"--workdir={workdir}"))
    return tables(workdir)


def at_work(workdir):
    """The processes that train a network now, and have saved something of it."""
    found = []
    for path in workdir.glob("store/*/lock"):
        if not (path.parent / "done.json").exists() and list(path.parent.glob("checkpoints/*")):
            found += [int(number) for number in re.findall(r"process (\d+) ", path.read_text())]
    return found


def kill_one(workdir, others):
    """Kills a process while it trains; the last one told of, if several do."""
    while not (found := at_work(workdir)):
        assert all(process.poll() is None for process in others), [process.communicate() for process in others]
        time.sleep(0.01)
    subprocess.run(["kill", "-KILL", str(found[-1])], check=True)
    return found[-1]


def test_two_processes_of_one_command_share_its_networks_and_both_write_its_table(tmp_path):
    said = [ended(process) for process in [numbers(*NUMBERS, f"--workdir={tmp_path}/run") for _ in range(2)]]
    assert sorted(re.findall(r"^made (\d)$", "\n".join(said), re.MULTILINE)) == list("1234")
    assert pd.read_csv(tmp_path / "run/results.csv")["value"].tolist() == [1, 2, 3, 4]


@pytest.mark.slow
def test_two_processes_of_one_command_end_with_the_tables_of_one(one, tmp_path):
    processes = [begin(f"--workdir={tmp_path}/run") for _ in range(2)]
    said = [ended(process).count(": train accuracy") for process in processes]
    assert sum(said) == 3 and tables(tmp_path / "run") == one


@pytest.mark.slow
def test_of_three_processes_one_may_be_killed(one, tmp_path):
    processes = [begin(f"--workdir={tmp_path}/run") for _ in range(3)]
    killed = kill_one(tmp_path / "run", processes)
    for process in processes:
        if process.pid == killed:
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        else:
            ended(process)
    assert tables(tmp_path / "run") == one


@pytest.mark.slow
def test_two_workers_end_with_the_tables_of_one_process(one, tmp_path):
    said = ended(begin("--workers=2", f"--workdir={tmp_path}/run"))
    assert tables(tmp_path / "run") == one
    trained = re.findall(r"^\[([12])\] residual/batch depth \d+ seed 0 rate 0.05: train accuracy", said, re.MULTILINE)
    assert len(trained) == 3 and "figure: " in said


@pytest.mark.slow
def test_a_worker_that_is_killed_is_named_and_its_work_is_done(one, tmp_path):
    parent = begin("--workers=2", f"--workdir={tmp_path}/run")
    kill_one(tmp_path / "run", [parent])
    assert re.search(r"^\[[12]\] ended by SIGKILL: the others do its work$", ended(parent), re.MULTILINE)
    assert tables(tmp_path / "run") == one


@pytest.mark.parametrize("number", (signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)))
def test_a_signal_ends_all_workers_with_its_code_and_one_line(tmp_path, number):
    parent = numbers("--workers=2", *NUMBERS, "--seconds=60", f"--workdir={tmp_path}/run")
    while len(locks := list(tmp_path.glob("run/store/*/lock"))) < 2:
        assert parent.poll() is None, parent.communicate()
        time.sleep(0.05)
    pids = [re.search(r"process (\d+) ", path.read_text())[1] for path in locks]
    parent.send_signal(number)
    out, err = parent.communicate()
    assert parent.returncode == 128 + number
    assert err == f"product_study: stopped by {number.name}; the same command goes on from here\n"
    assert not any(pathlib.Path("/proc", pid).exists() for pid in pids) and "Traceback" not in out


def test_a_worker_that_fails_is_named(tmp_path):
    process = numbers("--workers=2", *NUMBERS, "--bad=2", f"--workdir={tmp_path}/run")
    out, err = process.communicate()
    assert process.returncode == 1 and re.fullmatch(
        r"product_study: worker [12](, [12])? of 2 failed, see above\n", err
    )
    assert re.search(r"^\[[12]\] product_study: 2: is bad$", out, re.MULTILINE)


@pytest.mark.slow
def test_processes_that_end_at_the_same_moment_all_write_and_draw(tmp_path):
    processes = [numbers(*NUMBERS, f"--workdir={tmp_path}/run") for _ in range(3)]
    said = [ended(process) for process in processes]
    assert sum(text.count("made ") for text in said) == 4 and all("figure: " in text for text in said)


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    (
        ("0,1,2,3", 2, [("0,2", None), ("1,3", None)]),
        ("5", 2, [("5", "0.45"), ("5", "0.45")]),
        ("0,1", 3, [("0", "0.45"), ("1", "0.45"), ("0", "0.45")]),
        ("", 2, [(None, None), (None, None)]),
    ),
)
def test_gpus_are_dealt_out_and_shared_where_there_are_too_few(monkeypatch, given, count, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    dealt = [workers._gpus(number, count) for number in range(count)]
    assert [(d.get("CUDA_VISIBLE_DEVICES"), d.get("XLA_PYTHON_CLIENT_MEM_FRACTION")) for d in dealt] == expected
