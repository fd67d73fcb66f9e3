"""Every experiment on signals, small and to its end."""

import pandas as pd
import pytest
from commands import run

SIGNAL = (
    "connection,norm,initializer,depth,layer,seed,activation_mean_square,branch_mean_square,input_cosine,token_cosine,"
    "gradient_mean_square,direct_share,gradient_cosine,dead_fraction,attention_entropy"
)
pytestmark = pytest.mark.slow
TRAINING = ("--width=8", "--steps=20", "--batch_size=32")
SMALL = {
    "signal_propagation": (
        "--width=8", "--depths=8", "--norms=batch", "--connections=residual", "--initializer=zeros",
        "--networks=4", "--widths=8,9", "--wandering_depth=6",
    ),
    "shattered_gradients": (
        "--width=8", "--depths=1,3", "--norms=center", "--connections=plain", "--seeds=2", "--points=32", "--lags=4",
    ),
    "normalization": ("--width=8", "--depths=4,8", "--norms=layer", "--connections=plain", "--order=post", "--seeds=2"),
    "learning_rate": (*TRAINING, "--depths=4", "--norms=none", "--connections=residual"),
    "identity": (
        *TRAINING, "--shallow=4", "--deep=8",
        "--depths=4", "--norms=none", "--connections=rezero", "--map_steps=5",
    ),
    "initialization": (
        *TRAINING, "--initializer=zeros", "--activation=relu", "--max_depth=4",
        "--variances=0.8", "--scale_width=32", "--scale_depth=20",
    ),
}  # fmt: skip
HEADERS = {
    "signal_propagation": {"results": SIGNAL, "wandering": "width,depth,layer,level,activation,gradient"},
    "shattered_gradients": {
        "results": "connection,norm,depth,seed,gradient_variance,gradient_covariance,gradient_correlation",
        "series": "connection,norm,depth,seed,lag,autocorrelation",
    },
}


def small(experiment, workdir):
    """Runs an experiment to its end; its tables by path."""
    code, out, err = run(experiment, *SMALL[experiment], f"--workdir={workdir}")
    assert (code, err) == (0, ""), err
    assert f"figure: {workdir}/figure.png" in out and (workdir / "figure.pdf").exists()
    return {path: path.read_bytes() for path in workdir.glob("*.csv")}


@pytest.mark.parametrize("experiment", SMALL)
def test_an_experiment_leaves_its_tables_and_figure(experiment, tmp_path):
    tables = small(experiment, tmp_path / "run")
    assert tables and all(len(pd.read_csv(path)) for path in tables)
    for name, header in HEADERS.get(experiment, {}).items():
        assert (tmp_path / f"run/{name}.csv").read_text().splitlines()[0] == header
    if experiment == "normalization":  # what was not measured is measured again, to the same table
        next(tmp_path.glob("run/store/*/measured/*.json")).unlink()
        assert small(experiment, tmp_path / "run") == tables
