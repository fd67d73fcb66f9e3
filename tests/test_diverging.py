"""Experiments all of whose networks diverge, before anything was logged: tables and figures, and no traceback."""

import pandas as pd
import pytest
from commands import run

LOST = ("--steps=3", "--batch_size=8", "--learning_rate=1e38")
SMALL = {
    "depth_frontier": ("--width=4", "--max_depth=8", "--norms=none"),
    "depth_pays": ("--depths=4", "--seeds=1"),
    "depth_use": ("--width=4", "--depths=6", "--order=pre", "--warmup_steps=0", "--clip_norm=0"),
    "ensembles": ("--width=4", "--depths=10", "--members=2", "--seeds=1"),
    "identity": ("--width=4", "--shallow=4", "--deep=8", "--depths=2", "--map_steps=1", "--seeds=1"),
    "initialization": (
        "--width=4", "--max_depth=8", "--initializer=he_normal", "--activation=relu", "--variances=0.8",
        "--scale_width=8", "--scale_depth=20",
    ),
    "invertibility": ("--width=4", "--depths=6", "--images=1", "--seeds=1", "--connections=residual"),
    "invertible_resnet": ("--depths=10", "--width=2", "--images=1", "--pictures=1", "--spectral_norm=0"),
    "landscape": (
        "--width=4", "--depths=6", "--resolution=3", "--lines=1", "--images=8", "--curvature_points=1", "--lanczos=2",
    ),
    "learning_rate": ("--width=4", "--depths=6", "--connections=residual", "--norms=none", "--learning_rates=1e38"),
    "lesions": ("--width=4", "--depths=6", "--deletions=1", "--swapped=1", "--draws=1"),
    "optimization": ("--width=4", "--depths=6"),
    "paths": ("--width=4", "--depths=6", "--samples=1"),
    "shortcuts": ("--width=4", "--depths=10", "--table1_depth=6", "--projections=0", "--layers=1", "--jacobians=1"),
    "stochastic_depth": ("--width=4", "--depths=6"),
    "wide_chain": ("--width=4", "--depths=4", "--images=1", "--lanczos=2", "--seeds=1"),
}  # fmt: skip


def drawn_twice(experiment, workdir, flags):
    """Runs it, and draws again what it has left."""
    for again in ((), ("--plot_only",)):
        code, out, err = run(experiment, *flags, f"--workdir={workdir}", *again)
        assert code == 0 and "Traceback" not in err, err
        assert f"figure: {workdir}/figure.png" in out and (workdir / "figure.png").exists()


@pytest.mark.slow
def test_every_network_diverges_before_the_first_line(tmp_path):
    drawn_twice("depth_scaling", tmp_path, (*LOST, "--width=4", "--depths=6", "--connections=residual", "--norms=none"))
    assert pd.read_csv(tmp_path / "results.csv")["diverged"].tolist() == [2]
    (line,) = pd.read_csv(tmp_path / "curves.csv").to_dict("records")
    assert line["step"] == 2 and pd.isna(line["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", SMALL)
def test_an_experiment_whose_networks_all_diverge(experiment, tmp_path):
    lost = LOST[:2] if experiment == "learning_rate" else LOST
    drawn_twice(experiment, tmp_path, (*lost, *SMALL[experiment]))
