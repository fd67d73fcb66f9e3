"""Several processes on one network, for real: started, killed, started again."""

import signal
import socket
import time

import jax
import numpy as np
import pandas as pd
import pytest
from commands import checkpointed, run, start

from experiments import depth_scaling
from resjax.lab import flags, plan
from resjax.lab.store import Store
from resjax.lab.train import newest
from resjax.lab.trial import address
from resjax.training.evaluation import evaluate
from tests.torture.commands import here

PAIR = (
    "depth_scaling",
    "--depths=6",
    "--learning_rate=0.05",
    "--width=8",
    "--connections=residual",
    "--norms=batch",
    "--checkpoint_every=20",
)
STEPS = "--steps=60"


def free_port():
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def begin(workdir, *arguments, processes=2, members=(1, 0)):
    """Starts members of a group of processes; process 0 last, and first in the list."""
    address = f"--coordinator=127.0.0.1:{free_port()}"
    shared = ("--distributed", address, f"--processes={processes}", "--heartbeat=10", f"--workdir={workdir}")
    started = [start(*PAIR, STEPS, *shared, f"--process={member}", *arguments) for member in members]
    return started[::-1]


def finish(processes):
    """Exit codes and what was written to stderr, of each."""
    ended = [process.communicate() for process in processes]
    return [process.returncode for process in processes], [err for _, err in ended]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("pair") / "run"
    assert finish(begin(workdir)) == ([0, 0], ["", ""])
    return workdir


def loss(workdir):
    """The training loss in the run's table."""
    return pd.read_csv(workdir / "results.csv")["train_loss"].item()


def saved(workdir):
    """Waits for a checkpoint."""
    while not checkpointed(workdir):
        time.sleep(0.05)


def test_two_processes_train_what_one_does(undisturbed, tmp_path):
    assert here(*PAIR, STEPS, f"--workdir={tmp_path}/run").code == 0
    np.testing.assert_allclose(loss(tmp_path / "run"), loss(undisturbed), rtol=1e-4)  # in float32


@pytest.mark.slow
@pytest.mark.parametrize("killed", (0, 1))
def test_a_killed_process_ends_the_other_with_one_line_and_the_pair_goes_on(undisturbed, tmp_path, killed):
    pair = begin(tmp_path / "run")
    saved(tmp_path / "run")
    pair[killed].kill()
    _, err = pair[1 - killed].communicate()
    assert pair[1 - killed].returncode == 1 and err.count("\n") == 1 and "Traceback" not in err, err
    pair[killed].communicate()
    assert finish(begin(tmp_path / "run")) == ([0, 0], ["", ""])
    for name in ("results.csv", "curves.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.slow
def test_a_signal_to_one_stops_both_at_the_same_step(tmp_path):
    pair = begin(tmp_path / "run")
    saved(tmp_path / "run")
    pair[1].send_signal(signal.SIGTERM)
    codes, errors = finish(pair)
    assert codes == [143, 143] and all(err.count("\n") == 1 and "SIGTERM" in err for err in errors), errors


@pytest.mark.parametrize(("member", "missing"), ((0, "process 1, 2"), (2, "process 0")))
def test_missing_processes_are_named(tmp_path, member, missing):
    codes, (err,) = finish(begin(tmp_path / "run", "--startup=2", processes=3, members=(member,)))
    assert codes == [1] and err == f"depth_scaling: after 2 s there is no {missing} of 3 (--startup, --coordinator)\n"
    assert not (tmp_path / "run").exists()


def test_where_jax_finds_the_cluster_a_missing_process_ends_it_in_one_line(tmp_path, monkeypatch):
    job = {"JOB_ID": 1, "STEP_NODELIST": "127.0.0.1", "NTASKS": 3, "PROCID": 1, "LOCALID": 0}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("JAX_COORDINATOR_PORT", str(free_port()))
    code, _, err = run(*PAIR, "--distributed", "--startup=2", f"--workdir={tmp_path}/run")
    says = "a process did not start in time (--startup); the cluster's own log says which"
    assert code == 1 and err == f"depth_scaling: {says}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    (
        ([], "--distributed: no cluster is found here: give --coordinator, --processes and --process"),
        (["--coordinator=here"], "--coordinator=here: must be HOST:PORT"),
        (["--coordinator=here:²"], "--coordinator=here:²: must be HOST:PORT"),
        (["--coordinator=here:1", "--processes=2", "--process=2"], "--process=2: must be less than --processes=2"),
    ),
)
def test_bad_addresses_are_refused(tmp_path, arguments, says):
    code, _, err = run(*PAIR, "--distributed", f"--workdir={tmp_path}/run", *arguments)
    assert code == 2 and err == f"depth_scaling: {says}\n" and not (tmp_path / "run").exists()


def test_what_two_processes_saved_one_restores(undisturbed):
    (trial,) = depth_scaling.trials(flags.parse(depth_scaling.Config, [*PAIR, STEPS]))
    planned = plan.plan(trial)
    folder = Store(undisturbed / "store").folder(trial)
    with jax.enable_x64(False):
        restored = newest(folder, address(trial), plan.start(planned, trial))
        found, _ = evaluate(planned.network, restored.params, restored.state, planned.dataset.train)
    np.testing.assert_allclose(found, loss(undisturbed), rtol=1e-5)


@pytest.mark.slow
def test_what_one_process_began_two_go_on_with(undisturbed, tmp_path):
    alone = start(*PAIR, STEPS, f"--workdir={tmp_path}/run")
    saved(tmp_path / "run")
    alone.send_signal(signal.SIGTERM)
    assert finish([alone])[0] == [143]
    assert finish(begin(tmp_path / "run")) == ([0, 0], ["", ""])
    np.testing.assert_allclose(loss(tmp_path / "run"), loss(undisturbed), rtol=1e-3)
