"""Every experiment on signals, small and to its end: its tables, and that they are the same a second time."""

import pandas as pd
import pytest
from commands import run

SIGNAL = (
    "connection,norm,initializer,depth,layer,seed,activation_ms,branch_ms,input_cosine,gradient_ms,direct_share,"
    "gradient_cosine,dead_fraction"
)
TRAINING = ("--width=8", "--steps=20", "--batch_size=32")
SMALL = {
    "signal_propagation": ("--width=8", "--depths=8", "--norms=none,batch", "--connections=plain,residual"),
    "shattered_gradients": ("--width=8", "--depths=1,3", "--norms=batch", "--seeds=2", "--points=32", "--lags=4"),
    "normalization": ("--width=8", "--depths=4,8", "--norms=none,layer", "--order=pre,post"),
    "learning_rate": (*TRAINING, "--depths=4", "--norms=none", "--connections=residual", "--smallest=0.01"),
    "identity": (
        *TRAINING, "--shallow=4", "--deep=8",
        "--depths=4", "--norms=none", "--connections=rezero", "--map_steps=5",
    ),
    "initialization": (
        *TRAINING, "--initializer=zeros,looks_linear", "--activations=relu", "--max_depth=4",
        "--variances=0.8", "--scale_width=32", "--scale_depth=20",
    ),
}  # fmt: skip
HEADERS = {
    "signal_propagation": {"results": SIGNAL},
    "shattered_gradients": {
        "results": "network,norm,beta,depth,seed,gradient_variance,gradient_covariance,gradient_correlation",
        "series": "network,norm,beta,depth,seed,lag,autocorrelation",
    },
}


@pytest.mark.parametrize("experiment", SMALL)
def test_an_experiment_leaves_its_tables_and_figure(experiment, tmp_path):
    workdir = tmp_path / "run"
    code, out, err = run(experiment, *SMALL[experiment], f"--workdir={workdir}")
    assert (code, err) == (0, ""), err
    assert f"figure: {workdir}/figure.png" in out and (workdir / "figure.pdf").exists()
    for name, header in HEADERS.get(experiment, {}).items():
        assert (workdir / f"{name}.csv").read_text().splitlines()[0] == header
    tables = {path: path.read_bytes() for path in workdir.glob("*.csv")}
    assert tables and all(len(pd.read_csv(path)) for path in tables)
    for path in workdir.glob("points/*/done.json"):  # measured again, not read again
        path.unlink()
    (workdir / "figure.png").unlink()
    code, _, err = run(experiment, *SMALL[experiment], f"--workdir={workdir}")
    assert (code, err) == (0, "") and (workdir / "figure.png").exists()
    assert {path: path.read_bytes() for path in workdir.glob("*.csv")} == tables
