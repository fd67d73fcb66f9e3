"""The experiment `landscape`, and the checkpoints that it keeps of the way there."""

import re

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from commands import run
from helpers import close, same_results

from experiments import landscape as experiment
from resjax.lab import flags
from resjax.lab import plan as planning
from resjax.lab.train import train
from resjax.lab.trial import Trial, address
from resjax.system.errors import Failure, UserError
from resjax.training import step as steps
from resjax.training.checkpoint import Checkpoints


def test_steps_that_are_kept_stay_beside_the_newest_two(tmp_path):
    checkpoints = Checkpoints(tmp_path, "cafe", keep=range(2, 6, 2))
    for step in range(1, 9):
        checkpoints.save(step, {"params": jnp.full(3, step)})
    assert checkpoints.steps() == [2, 4, 7, 8]
    assert checkpoints.read(4, {"params": jnp.zeros(3, int)})["params"].tolist() == [4, 4, 4]


def test_a_step_is_read_as_strictly_as_the_newest(tmp_path):
    tree = {"params": jnp.zeros(3)}
    Checkpoints(tmp_path, "cafe").save(1, tree)
    with pytest.raises(Failure, match=r"checkpoints/2 is damaged \(it has no checksums"):
        Checkpoints(tmp_path, "cafe").read(2, tree)
    with pytest.raises(Failure, match="configuration is cafe, expected beef"):
        Checkpoints(tmp_path, "beef").read(1, tree)
    saved = tmp_path.glob("checkpoints/1/train_state/**/*")
    file = next(path for path in saved if path.is_file() and path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Failure, match="differs from its checksum"):
        Checkpoints(tmp_path, "cafe").read(1, tree)


def test_what_is_kept_is_the_way_of_the_training(tmp_path):
    trial = Trial(depth=4, width=4, steps=5)
    result = train(trial, tmp_path / "kept", keep=range(2, 5, 2))
    saved = Checkpoints(tmp_path / "kept", address(trial))
    assert saved.steps() == [2, 4, 5]
    planned = planning.plan(trial)
    tree = planning.start(planned, trial)
    batches = planning.batches(trial, planned.dataset)
    for step in range(2):
        tree, *_ = steps.train_step(planned.network, planned.optimizer.build(), tree, batches.at(step))
    close(saved.read(2, tree).params, tree.params, tolerance=0)
    assert same_results(train(trial, tmp_path / "plain"), result)


@pytest.mark.parametrize(
    ("arguments", "says"),
    (
        (["--radius=0"], "--radius=0.0: must be at least 0.001"),
        (["--resolution=2"], "--resolution=2: must be at least 3"),
        (["--planes=random,hessian"], "--planes=hessian: must be one of random, pca"),
        (["--level=-1"], "--level=-1.0: must be at least 0"),
        (["--lines=0"], "--lines=0: must be at least 1"),
        (["--lanczos=1"], "--lanczos=1: must be at least 2"),
        (["--images=1501"], "--images=1501: digits has 1500 training images"),
        (["--planes=pca", "--trajectory_every=400"], "--trajectory_every=400: must be less than --steps=400"),
        (["--depths=5"], "--network=dense: depth 5: dense with 2 layers a branch has depth 2 + 2·n; nearest: 4 and 6"),
        (["--width=8,0"], "--width=0: must be at least 1"),
    ),
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, arguments, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        experiment.STUDY.run(flags.parse(experiment.Config, ["landscape", *arguments, f"--workdir={tmp_path}/run"]))
    assert error.value.exit_code == 2 and "\n" not in str(error.value) and not any(tmp_path.iterdir())


SMALL = (
    "--planes=random,pca",
    "--depths=8",
    "--width=8",
    "--steps=20",
    "--batch_size=32",
    "--trajectory_every=4",
    "--resolution=11",
)
FEW = ("--lines=2", "--images=32", "--curvature_points=3", "--lanczos=5", "--matched_loss=0")
FIGURES = {"figure", "pca", "surface", "lines", "curvature"}


def finish(workdir, *arguments):
    """Runs the experiment to its end; its tables, and the names of its figures."""
    code, _, err = run("landscape", *SMALL, *FEW, *arguments, f"--workdir={workdir}")
    assert (code, err) == (0, ""), err
    figures = {path.stem for path in workdir.glob("*.png")}
    assert figures == {path.stem for path in workdir.glob("*.pdf")}
    return {name: pd.read_csv(workdir / f"{name}.csv") for name in experiment.TABLES}, figures


@pytest.mark.slow
def test_the_experiment_leaves_its_tables_and_figures_and_goes_on_where_it_was_killed(tmp_path):
    tables, figures = finish(tmp_path)
    assert figures == FIGURES
    for name, columns in experiment.TABLES.items():
        assert list(tables[name].columns) == list(columns)
    results, surface, key = tables["results"], tables["surface"], experiment.KEY
    assert len(results) == 2 * 2 * 2 and len(surface) == 11 * 11 * len(results)
    centres = surface[(surface["plane"] == "random") & (surface["x"] == 0) & (surface["y"] == 0)]
    random = results[results["plane"] == "random"]
    np.testing.assert_allclose(centres["loss"], random["centre_loss"], rtol=1e-5)
    assert (tables["trajectory"].groupby(list(key))[["x", "y"]].last() == 0).all(axis=None)
    curved = tables["curvature"].query("plane == 'random' and x == 0 and y == 0")
    np.testing.assert_allclose(curved["lambda_max"], random["lambda_max"], rtol=0.1)

    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix in (".csv", ".png")}
    for path in sorted(tmp_path.glob("store/*/measured/*.json"))[::2]:
        path.unlink()
    for path in before:
        path.unlink()
    finish(tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    (tmp_path / "figure.png").unlink()
    finish(tmp_path, "--plot_only")
    assert (tmp_path / "figure.png").read_bytes() == before[tmp_path / "figure.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "diverged", "expected"),
    (
        (["--norms=none", "--learning_rate=1e20"], True, set()),
        (["--initializer=zeros"], False, FIGURES - {"pca"}),  # the kernels never move
        (["--planes=random", "--network=resnet", "--width=2"], False, FIGURES - {"pca"}),
    ),
)
def test_networks_without_a_landscape_or_a_trajectory(tmp_path, arguments, diverged, expected):
    tables, figures = finish(tmp_path, *arguments, "--connections=residual")
    assert figures == expected and len(tables["results"])
    assert (tables["results"]["diverged"].notna() == diverged).all()
    assert tables["results"]["centre_loss"].isna().all() == diverged
