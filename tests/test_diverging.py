"""Experiments all of whose networks diverge, before anything was logged: tables and figures, and no traceback."""

import pandas as pd
import pytest
from commands import run
from tiny import EXPERIMENTS, SIGNALS

LOST = ("--steps=3", "--batch_size=8", "--learning_rate=1e38")


def drawn_twice(experiment, workdir, flags):
    """Runs it, and draws again what it has left."""
    for again in ((), ("--plot_only",)):
        code, out, err = run(experiment, *flags, f"--workdir={workdir}", *again)
        assert code == 0 and "Traceback" not in err, err
        assert f"figure: {workdir}/figure.png" in out and (workdir / "figure.png").exists()


@pytest.mark.slow
def test_every_network_diverges_before_the_first_line(tmp_path):
    drawn_twice("depth_scaling", tmp_path, (*LOST, *EXPERIMENTS["depth_scaling"]))
    assert pd.read_csv(tmp_path / "results.csv")["diverged"].tolist() == [2]
    (line,) = pd.read_csv(tmp_path / "curves.csv").to_dict("records")
    assert line["step"] == 2 and pd.isna(line["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name not in SIGNALS])
def test_an_experiment_whose_networks_all_diverge(experiment, tmp_path):
    lost = (*LOST[:2], "--learning_rates=1e38") if experiment == "learning_rate" else LOST
    drawn_twice(experiment, tmp_path, (*lost, *EXPERIMENTS[experiment]))
