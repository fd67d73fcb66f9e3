"""Sweeps: what the units are, who runs them, what becomes of those that die, and what is put together at the end."""

import collections
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from commands import QUICK, ROOT, run
from fake_slurm import Cluster, descendants, until

from launch import claims, collect, fleet, units, worker
from launch.directory import SweepDirectory
from launch.units import Sweep
from resjax.system.errors import Failure, Stopped, UserError
from resjax.system.interrupts import Stop

TESTS = pathlib.Path(__file__).parent


@pytest.fixture(autouse=True)
def paths(monkeypatch):
    """The fake experiment is found, also by processes; real ones compile little, and nothing for several devices."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(TESTS), str(ROOT))))
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def fake(tmp_path):
    """The command of a fake experiment with these flags; its diary is in tmp_path."""
    return lambda *given: ("fake_experiment", f"--diary={tmp_path / 'diary'}", *given)


def diary(tmp_path):
    """How often each point was made."""
    lines = (tmp_path / "diary").read_text().splitlines() if (tmp_path / "diary").exists() else []
    return collections.Counter(line.split()[0] for line in lines)


def opened(tmp_path, command, **options):
    return SweepDirectory.open(tmp_path / "sweep", Sweep(command, **options), cpus=0)


def work(directory, tries=2):
    worker.work(directory, directory.units, tries, Stop())


def start(*arguments, **options):
    """Starts `launch.sweep` and returns its process."""
    command = [sys.executable, "-m", "launch.sweep", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def swept(*arguments):
    """Runs `launch.sweep` to its end: (exit code, stdout, stderr)."""
    process = start(*arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


# who runs them


def test_no_unit_is_taken_twice(tmp_path):
    """Six processes race for two hundred claims, each of which is held to the end."""
    script = f"""
import pathlib, sys, time
from experiments import depth_scaling
from launch import claims
held = [(place, claim) for place in range(200) if (claim := claims.take(pathlib.Path({str(tmp_path)!r}, str(place))))]
print(*(place for place, _ in held), flush=True)
sys.stdin.read()
"""
    racers = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    taken = [int(place) for racer in racers for place in racer.stdout.readline().split()]
    for racer in racers:
        racer.communicate()
    assert sorted(taken) == list(range(200))


def test_a_claim_ends_with_its_process(tmp_path):
    script = f"""
import os, pathlib
from experiments import depth_scaling
from launch import claims
claim = claims.take(pathlib.Path({str(tmp_path)!r}, "claim"))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    assert claims.holder(tmp_path / "claim") is None
    with claims.take(tmp_path / "claim") as claim:
        assert claim.attempt == 2 and claims.holder(tmp_path / "claim")["pid"] == os.getpid()
        assert claims.take(tmp_path / "claim") is None
    with claims.take(tmp_path / "claim") as claim:
        assert claim.attempt == 1  # it was given back


def test_workers_make_each_point_once_and_a_finished_sweep_does_nothing(tmp_path, fake):
    command = ("--workers=3", f"--workdir={tmp_path}/sweep", "--", *fake("--depths=1,2,3"))
    assert swept(*command)[0::2] == (0, "")
    assert diary(tmp_path) == {f"plain-{depth}-1.0": 1 for depth in (1, 2, 3)}
    table = tmp_path / "sweep/merged/results.csv"
    assert table.read_text() == "connection,depth,value\nplain,1,1.0\nplain,2,2.0\nplain,3,3.0\n"
    assert swept(*command)[0::2] == (0, "") and diary(tmp_path).total() == 3


def test_shards_of_two_machines_make_one_table(tmp_path, fake):
    command = fake("--depths=1,2,3")
    for place in (1, 2):
        directory = SweepDirectory.open(tmp_path / str(place), Sweep(command, grid="factor=1,2.5"), cpus=1)
        worker.work(directory, units.shard(f"{place}/2", directory.units), 1, Stop())
    both = f"--from={tmp_path}/1,{tmp_path}/2"
    assert "6 done, 0 running, 0 failed, 0 left of 6 units" in swept("--status", both)[1]
    assert swept("--collect", both, f"--workdir={tmp_path}/sweep")[0::2] == (0, "")
    assert diary(tmp_path) == {f"plain-{depth}-{factor}": 1 for depth in (1, 2, 3) for factor in (1.0, 2.5)}
    assert (tmp_path / "sweep/merged/results.csv").read_text().splitlines() == [
        "factor,connection,depth,value",
        *(f"1,plain,{depth},{depth}.0" for depth in (1, 2, 3)),
        *(f"2.5,plain,{depth},{2.5 * depth}" for depth in (1, 2, 3)),
    ]


# what becomes of those that die


def test_a_unit_that_fails_is_named_and_the_others_are_done(tmp_path, fake):
    directory = opened(tmp_path, fake("--bad=2:failed"))
    with pytest.raises(Failure, match=r"001-depths=2: fake_experiment: this one fails \(1 of 3 units failed"):
        work(directory)
    assert diary(tmp_path) == {"plain-1-1.0": 1, "plain-2-1.0": 1, "plain-3-1.0": 1}
    with pytest.raises(Failure, match="this one fails"):
        collect.run(directory)
    again = opened(tmp_path, fake())
    again.forget_failures(again.units)
    work(again)
    assert diary(tmp_path) == {"plain-1-1.0": 1, "plain-2-1.0": 2, "plain-3-1.0": 1}


def test_a_unit_that_is_killed_is_tried_again_so_many_times(tmp_path, fake):
    with pytest.raises(Failure, match="001-depths=2: died 3 times without a word"):
        work(opened(tmp_path, fake("--depths=1,2", "--bad=2:killed")), tries=3)
    assert diary(tmp_path) == {"plain-1-1.0": 1, "plain-2-1.0": 3}


def test_flags_that_the_experiment_refuses_stop_the_sweep_and_may_be_mended(tmp_path, fake):
    with pytest.raises(UserError, match="fake_experiment: depth 3: is refused") as error:
        work(opened(tmp_path, fake("--bad=3:refused")))
    assert error.value.exit_code == 2 and not diary(tmp_path)
    work(opened(tmp_path, fake("--depths=4")))  # in the same directory, since nothing has begun
    assert diary(tmp_path) == {"plain-4-1.0": 1}


def test_a_worker_that_is_killed_loses_its_experiment_and_its_claim(tmp_path, fake):
    process = start("--workers=1", f"--workdir={tmp_path}/sweep", "--", *fake("--depths=1", "--seconds=2"))
    until(lambda: diary(tmp_path))
    (claim,) = tmp_path.glob("sweep/units/*/claim")
    killed = claims.holder(claim)["pid"]
    (experiment,) = descendants(killed)
    os.kill(killed, signal.SIGKILL)
    until(lambda: not pathlib.Path(f"/proc/{experiment}").exists())
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "") and diary(tmp_path) == {"plain-1-1.0": 2}


def test_nobody_outlives_a_sweep_that_is_killed(tmp_path, fake):
    process = start("--workers=1", f"--workdir={tmp_path}/sweep", "--", *fake("--depths=1", "--seconds=60"))
    until(lambda: diary(tmp_path))
    started = descendants(process.pid)
    process.kill()
    process.communicate()
    assert len(started) == 2
    until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in started))


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_signal_stops_all_and_the_same_command_goes_on(tmp_path, fake, number):
    directory = opened(tmp_path, fake("--depths=1", "--seconds=60"))
    process = start("--workers=1", f"--workdir={tmp_path}/sweep")
    until(lambda: diary(tmp_path))
    started = descendants(process.pid)
    assert len(started) == 2
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and err.count("\n") == 1 and number.name in err
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in started)
    assert directory.left(directory.units) and directory.take(directory.units[0]).attempt == 1


def test_a_stopped_experiment_stops_its_worker(tmp_path, fake):
    directory, stop = opened(tmp_path, fake()), Stop()
    stop.signal = signal.SIGTERM
    with pytest.raises(Stopped):
        worker.work(directory, directory.units, 1, stop)
    assert not diary(tmp_path)


def test_the_view_tells_who_runs_what(tmp_path, fake):
    directory = opened(tmp_path, fake("--bad=2:failed"))
    with pytest.raises(Failure):
        work(directory)
    running = directory.units[2]
    (directory.folder(running) / "end.json").unlink()
    point = directory.workdir(running) / "points/residual-batch-20-0-abc"
    point.mkdir()
    (point / "config.json").write_text(json.dumps({"steps": 200}))
    (point / "metrics.jsonl").write_text('{"step": 20}\n{"step": 40}\n')
    with directory.take(running):
        code, out, _ = swept("--status", f"--workdir={tmp_path}/sweep")
    text = " ".join(re.sub(r"[^\w.:/=-]+", " ", out).split())
    assert code == 0 and "1 done 1 running 1 failed 0 left of 3 units" in text
    assert "this one fails" in text and f"{os.getpid()}" in text and "40/200" in text


# what is put together


@pytest.mark.slow
def test_the_tables_of_a_sweep_are_those_of_one_run(tmp_path):
    """The real experiment, its units on one core each, against one process on all."""
    command = ("--width=128", "--batch_size=256", "--depths=8,20", "--connections=plain", "--norms=batch", "--steps=40")
    assert swept(f"--workdir={tmp_path}/sweep", "--", "experiments.depth_scaling", *command)[0::2] == (0, "")
    assert run("depth_scaling", *command, f"--workdir={tmp_path}/serial")[0::2] == (0, "")
    for path in sorted(tmp_path.glob("serial/points/*/metrics.jsonl")):
        assert (tmp_path / "sweep/merged" / path.relative_to(tmp_path / "serial")).read_bytes() == path.read_bytes()
    for name in ("results.csv", "curves.csv", "config.json", "figure.png"):
        assert (tmp_path / "sweep/merged" / name).read_bytes() == (tmp_path / "serial" / name).read_bytes(), name


@pytest.mark.slow
def test_the_tables_of_a_sweep_that_measures_are_those_of_one_run(tmp_path):
    command = ("--width=64", "--depths=8", "--norms=none,batch", "--connections=plain,residual")
    given = ("--over=connections", f"--workdir={tmp_path}/sweep", "--", "experiments.normalization", *command)
    assert swept(*given)[0::2] == (0, "")
    assert run("normalization", *command, f"--workdir={tmp_path}/serial")[0::2] == (0, "")
    merged = tmp_path / "sweep/merged"
    assert (merged / "results.csv").read_bytes() == (tmp_path / "serial/results.csv").read_bytes()
    times = {json.loads(path.read_text())["timing"]["total_seconds"] for path in merged.glob("points/*/done.json")}
    units_times = {
        json.loads(path.read_text())["timing"]["total_seconds"]
        for path in tmp_path.glob("sweep/units/*/run/points/*/done.json")
    }
    assert times == units_times and len(times) == 12  # nothing was measured again


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_the_steps_since_its_checkpoint(tmp_path):
    command = ("--depths=8", "--width=8", "--connections=residual", "--norms=batch", "--steps=2000")
    given = (*command, "--checkpoint_every=50", "--log_every=10")
    process = start("--workers=1", f"--workdir={tmp_path}/sweep", "--", "experiments.depth_scaling", *given)
    metrics = until(lambda: list(tmp_path.glob("sweep/units/*/run/points/*/metrics.jsonl")), 120)[0]
    until(lambda: metrics.read_text().count("\n") > 20)
    (claim,) = tmp_path.glob("sweep/units/*/claim")
    killed = claims.holder(claim)["pid"]
    for pid in (killed, *descendants(killed)):
        os.kill(pid, signal.SIGKILL)
    fewest = 1000
    while process.poll() is None:
        fewest = min(fewest, metrics.read_text().count("\n"))
        time.sleep(0.02)
    assert (process.returncode, process.stderr.read()) == (0, "") and fewest >= 5  # those until the first checkpoint
    assert run("depth_scaling", *given, f"--workdir={tmp_path}/serial")[0::2] == (0, "")
    assert (tmp_path / "sweep/merged/results.csv").read_bytes() == (tmp_path / "serial/results.csv").read_bytes()


def test_what_is_not_done_is_named(tmp_path, fake):
    directory = opened(tmp_path, fake())
    worker.work(directory, directory.units[:1], 1, Stop())
    with pytest.raises(Failure, match="2 of 3 units are not done: 001-depths=2, 002-depths=3"):
        collect.run(directory)


# clusters


def test_slurm_takes_a_worker_away_and_brings_it_back(tmp_path, fake, monkeypatch):
    pytest.importorskip("submitit")
    cluster = Cluster(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    given = ("--on=slurm", "--workers=2", "--cpus=3", "--gpus=1", "--minutes=90", "--slurm=partition=gpu exclusive")
    code, out, err = swept(*given, f"--workdir={tmp_path}/sweep", "--", *fake("--depths=1,2", "--seconds=3"))
    assert (code, err) == (0, "") and "submitted job 7: 2 workers for 2 units" in out
    asked = {"cpus-per-task": "3", "gpus-per-node": "1", "time": "90", "partition": "gpu", "array": "0-1%2"}
    assert asked.items() <= cluster.options.items() and "#SBATCH --exclusive\n" in cluster.script
    task = cluster.start(0)
    until(lambda: diary(tmp_path))
    cluster.warn(task)
    task.wait(timeout=60)
    assert cluster.requeued() == ["requeue 7_0"] and diary(tmp_path).total() == 1
    directory = SweepDirectory.load(tmp_path / "sweep")
    assert len(directory.left(directory.units)) == 2
    assert cluster.start(0).wait(timeout=60) == 0
    assert not directory.left(directory.units)
    assert diary(tmp_path) == {"plain-1-1.0": 1, "plain-2-1.0": 2}


def test_slurm_without_a_cluster_says_so(tmp_path, fake, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = swept("--on=slurm", "--cpus=1", f"--workdir={tmp_path}/sweep", "--", *fake())
    assert (code, err) == (2, "sweep: --on=slurm: there is no srun here: run this where jobs are submitted\n")


@pytest.mark.parametrize("more", ([], ["--spot", "--bucket=gs://ours/b"]))
def test_each_slice_gets_its_shard(fake, more):
    command = fake("--depths=1,2")
    tpu = ["--name=deep", "--zone=us-east5-b", *more]
    grid = ["--grid=factor=1,2"]
    code, out, err = swept("--on=tpu", "--workers=2", f"--tpu={shlex.join(tpu)}", *grid, "--", *command)
    assert (code, err) == (0, "")
    lines = [shlex.split(line) for line in out.splitlines() if not line.startswith("#")]
    given = ["python", "-m", "launch.tpu", *tpu]
    assert lines == [
        [
            *given,
            f"--name=deep-{place}",
            "--",
            "launch.sweep",
            "--grid=factor=1,2",
            "--tries=3",
            f"--shard={place}/2",
            "--",
            *command,
        ]
        for place in (1, 2)
    ]
    assert "--collect --from=runs/deep-1,runs/deep-2" in out
    assert ("--status --from=gs://ours/b/deep-1,gs://ours/b/deep-2" in out) == bool(more)


def test_a_shard_that_was_brought_home_done_needs_no_slice(tmp_path, fake, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = fake("--depths=1,2,3")
    for name, share in (("deep-1", "1/2"), ("deep-2", "2/2")):
        directory = SweepDirectory.open(f"runs/{name}", Sweep(command), cpus=1)
        units_of = units.shard(share, directory.units)
        worker.work(directory, units_of if name == "deep-1" else units_of[1:], 1, Stop())
    fleet.run(Sweep(command), 2, 3, 0, "--name=deep")
    out = capsys.readouterr().out
    assert "# deep-1 is done" in out and "--name=deep-2" in out and "--name=deep-1" not in out


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_an_experiment_whose_worker_is_gone_already_does_not_begin(tmp_path, fake):
    ended = subprocess.run([sys.executable, "-m", "launch.tethered", "1", *fake("--depths=1")], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGTERM and not diary(tmp_path)


# whose directory it is


def test_another_sweep_in_the_same_directory_is_refused(tmp_path, fake):
    work(opened(tmp_path, fake("--depths=1")))
    with pytest.raises(UserError, match=r"holds another sweep: factor is 1.0 there and 2.0 here"):
        opened(tmp_path, fake("--depths=1", "--factor=2"))
    with pytest.raises(UserError, match=r"grid is \{\} there and \{'factor': \['1', '2'\]\} here"):
        opened(tmp_path, fake("--depths=1"), grid="factor=1,2")


def test_a_directory_of_something_else_is_refused(tmp_path, fake):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/thesis.tex").write_text("")
    with pytest.raises(UserError, match="is no sweep: give a new or empty directory"):
        opened(tmp_path, fake())
