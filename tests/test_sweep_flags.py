"""What a sweep consists of, what its flags refuse, and whether its documentation is true."""

import itertools
import re
import shlex
import subprocess
import sys

import pytest
from commands import ROOT

from experiments import depth_scaling
from launch import local, sweep, units
from launch.directory import SweepDirectory
from launch.units import Sweep
from resjax.lab import config, flags

DOCUMENTED = sweep.__doc__ + (ROOT / "launch/sweeps.md").read_text()


def test_units_are_the_product_of_the_lists():
    lists = {"depths": "4,20,56", "connections": "plain,scaled(alpha=1,beta=0.1)"}
    given = [f"--{name}={values}" for name, values in lists.items()]
    found = Sweep(("experiments.depth_scaling", *given), over="depths,connections").units()
    assert {unit.flags for unit in found} == {
        (f"--depths={depth}", f"--connections={connection}")
        for depth, connection in itertools.product((4, 20, 56), ("plain", "scaled(alpha=1,beta=0.1)"))
    }
    assert len({unit.name for unit in found}) == 6


@pytest.mark.parametrize(
    ("experiment", "over"),
    (
        ("experiments.depth_scaling", ["depths", "connections", "norms"]),
        ("experiments.paths", ["norms"]),
        ("experiments.invertible_resnet", []),
    ),
)
def test_what_is_dealt_out_by_default(experiment, over):
    assert [name for name, _ in Sweep((experiment,)).lists()] == over


def test_a_grid_multiplies_the_units():
    found = Sweep(("experiments.depth_scaling",), "depths", "learning_rate=0.1,0.05 optimizer=sgd,adam(b1=0.5,b2=0.9)")
    assert [combination.flags for combination in found.combinations()] == [
        (f"--learning_rate={rate}", f"--optimizer={optimizer}")
        for rate, optimizer in itertools.product(("0.1", "0.05"), ("sgd", "adam(b1=0.5,b2=0.9)"))
    ]
    assert len(found.units()) == 4 * 7 and len({unit.flags for unit in found.units()}) == 4 * 7


def test_the_points_of_the_units_are_those_of_one_run():
    """So that their folders, which are named after them, can be put together."""
    whole = Sweep(("experiments.depth_scaling", "--seeds=2"), grid="width=8,16")
    for combination in whole.combinations():
        parts = [whole.config(unit.flags) for unit in whole.units() if unit.combination == combination]
        serial = depth_scaling.points(whole.config(combination.flags))
        assert {config.digest(point) for part in parts for point in depth_scaling.points(part)} == {
            config.digest(point) for point in serial
        }


def test_units_of_a_preset_have_its_values():
    found = Sweep(("experiments.depth_scaling", "--preset=resnet56_cifar10"), "depths").units()
    assert [unit.flags for unit in found] == [("--depths=56",)]


def test_names_do_not_lead_out_of_the_directory(tmp_path):
    names = "../../x,/etc/passwd,own_blocks:Mine(x=1,y='../..'),.."
    directory = SweepDirectory(tmp_path, Sweep(("experiments.depth_scaling", f"--connections={names}")), cpus=1)
    for unit in directory.units:
        assert directory.folder(unit).resolve().parent == tmp_path / "units"


@pytest.mark.parametrize("shares", (1, 2, 5, 40))
def test_shards_together_are_the_whole(shares):
    whole = Sweep(("experiments.depth_scaling",)).units()
    parts = [units.shard(f"{place}/{shares}", whole) for place in range(1, shares + 1)]
    assert sorted(unit.name for part in parts for unit in part) == [unit.name for unit in whole]


@pytest.mark.parametrize("workers", (1, 3, 4, 9))
def test_cores_are_shared_out(workers):
    parts = [local.share(list(range(4)), place, workers) for place in range(workers)]
    assert all(parts) and set().union(*parts) == set(range(4))
    assert workers > 4 or sum(map(len, parts)) == 4


def test_gpus_are_shared_out(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    found = [local.gpu_environment(place, 4, 2) for place in range(4)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["2", "5", "2", "5"]
    assert {each["XLA_PYTHON_CLIENT_MEM_FRACTION"] for each in found} == {"0.38"}
    assert local.gpu_environment(1, 2, 2) == {"CUDA_VISIBLE_DEVICES": "5"} and not local.gpu_environment(0, 2, 0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    (
        (["--dephts=1"], "Unknown command line flag 'dephts'"),
        (["--workers=0"], "--workers=0: must be at least 1"),
        ([], "give an experiment and its flags behind --"),
        (
            ["--collect", "--workdir=/nowhere"],
            "give an experiment and its flags behind --, or the --workdir of a sweep",
        ),
        (
            ["--on=tpu", "--collect", "--workdir=/nowhere", "--", "experiments.depth_scaling"],
            "--workdir=/nowhere: there is no sweep",
        ),
        (["--grid=x=1"], "--over and --grid: give the experiment, too, behind --"),
        (["--", "experiments.nothing"], "'experiments.nothing' is no experiment"),
        (["--", "./depth_scaling.py"], "'./depth_scaling.py' is no experiment"),
        (["--", "resjax.prepare"], "'resjax.prepare' is no experiment"),
        (["--", "experiments.depth_scaling", "--depths=0"], "--depths=0: must be at least 1"),
        (["--", "experiments.depth_scaling", "--dephts=4"], "Did you mean: depths"),
        (["--", "experiments.depth_scaling", "--help"], "python -m experiments.depth_scaling --help"),
        (["--", "experiments.depth_scaling", "--plot_only"], "--plot_only behind --: give --collect"),
        (["--", "experiments.depth_scaling", "--distributed"], "a unit runs on one machine"),
        (
            ["--over=width", "--", "experiments.depth_scaling"],
            "--over=width: experiments.depth_scaling has no such list",
        ),
        (
            ["--grid=depths=4,8", "--", "experiments.depth_scaling"],
            "has no flag depths of one value; --over takes lists",
        ),
        (["--grid=width=8,8", "--", "experiments.depth_scaling"], "give one value or several different ones"),
        (["--grid=width=8,-1", "--", "experiments.depth_scaling"], "--width=-1: must be at least 0"),
        (["--shard=0/2", "--", "experiments.depth_scaling"], "--shard=0/2: give i/n with i from 1 to n"),
        (["--shard=1/2", "--on=slurm", "--", "experiments.depth_scaling"], "--shard=1/2 and --on=slurm: give one"),
        (["--tpu=--name=a", "--", "experiments.depth_scaling"], "--tpu: goes with --on=tpu"),
        (["--from=a", "--", "experiments.depth_scaling"], "--from: goes with --collect or --status"),
        (["--on=slurm", "--", "experiments.depth_scaling"], "--on=slurm: give --cpus"),
        (["--on=tpu", "--tpu=--zone=x", "--", "experiments.depth_scaling"], "--zone=x: must be a zone"),
        (
            ["--on=tpu", "--tpu=--accelerator_type=v6e-16 --bucket=gs://abc", "--", "experiments.depth_scaling"],
            "a shard runs on one host",
        ),
        (["--on=tpu", "--tpu=--spot", "--", "experiments.depth_scaling"], "give --bucket=gs://"),
        (["--workdir=gs://abc/d", "--", "experiments.depth_scaling"], "--workdir=gs://abc/d: a bucket has no locks"),
        (["--collect", "--from=gs://abc/d", "--", "experiments.depth_scaling"], "bring it here: gcloud storage rsync"),
        (["--workdir=/proc/nowhere", "--", "experiments.depth_scaling"], "--workdir=/proc/nowhere cannot be written"),
        (["--", "experiments.depth_scaling", "--workdir=a"], "--workdir behind --: give the sweep's before the --"),
    ),
)
def test_bad_flags(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
    with pytest.raises(SystemExit) as left:
        flags.main(sweep.Config, sweep.run)
    err = capsys.readouterr().err
    assert left.value.code == 2 and says in err and err.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", sorted(set(re.findall(r"python -m launch\.sweep ([^`#\n]+)", DOCUMENTED))))
def test_every_documented_command_has_flags_that_exist(command):
    flags.parse(sweep.Config, ["sweep", *shlex.split(command)])


def test_help_imports_no_jax():
    script = """
import runpy, sys
sys.argv = ["sweep", "--help"]
runpy.run_module("launch.sweep", run_name="__main__", alter_sys=True)
assert "jax" not in sys.modules
"""
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"--{name}=" in shown for name in ("over", "grid", "shard", "from"))
