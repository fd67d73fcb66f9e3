"""The experiment `shortcuts`, and the theory that its figure draws."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from commands import run

from experiments import shortcuts as experiment
from resjax import theory
from resjax.lab import papers
from resjax.system.errors import UserError

SMALL = (
    "--depths=6", "--projections=0,1,-1", "--layers=2,4", "--table1_depth=4", "--connections=residual,dropout",
    "--width=4", "--steps=10", "--batch_size=32", "--jacobians=2",
)  # fmt: skip


@pytest.mark.parametrize("width", (2, 8))
def test_a_gaussian_factor_parts_the_singular_values_by_the_spread_of_its_exponents(width):
    random = np.random.default_rng(0)
    factors = 4000
    basis = np.eye(width)
    logs = []
    for _ in range(factors):
        basis, triangle = np.linalg.qr(random.normal(size=(width, width)) @ basis)
        logs.append(np.log(abs(np.diag(triangle))))
    first, *_, last = np.mean(logs, axis=0)
    error = (np.var(logs, axis=0)[[0, -1]].sum() / factors) ** 0.5
    assert first - last == pytest.approx(theory.gaussian_spread(width), abs=4 * error)


def test_the_studies_and_their_networks():
    todo = experiment.trials(experiment.Config(depths=(14,), projections=(0, 2, -1), seeds=2))
    assert len(set(todo)) == len(todo)
    by_study = {study: [trial for _, trial in of] for study, of in itertools.groupby(todo, lambda each: each[0])}
    counts = {study: len(trials) // 2 for study, trials in by_study.items()}
    assert counts == {"projections": 1 + 2 * 2, "table1": 9, "skip_length": 5}
    assert {trial.projections for trial in by_study["projections"]} == {0, 2, 6}
    assert all((trial.shortcut == "pad") == (trial.projections == 0) for trial in by_study["projections"])
    assert [trial.connection for trial in by_study["table1"][::2]] == list(papers.SKIPS)


def test_between_stages_the_shortcut_counts_though_no_other_block_has_it():
    kinds = ("pad", "projection")
    config = experiment.Config(
        studies=("projections",), network="resnet", depths=(8,), shortcut=kinds, projections=(0, -1)
    )
    found = [(trial.shortcut, trial.projections) for _, trial in experiment.trials(config)]
    assert found == [("pad", 0), ("projection", 0), ("projection", 1)]


@pytest.mark.parametrize(
    ("flags", "says"),
    (
        ({"projections": (0, 25)}, "projections=25: at most 24, the blocks that keep the size"),
        ({"projections": (-2,)}, "--projections=-2: must be at least -1"),
        ({"shortcut": ("max_pool",)}, "shortcut MaxPool: not for this network"),
        ({"layers": (5,)}, "depth 50: dense with 5 layers a branch has depth 2 + 5·n; nearest: 47 and 52"),
        ({"norms": ("none", "batch")}, "--norms=none,batch: give one value, or --sweep='norms=none,batch'"),
        ({"connections": ("residul",)}, "unknown connection 'residul'"),
    ),
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, flags, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        experiment.STUDY.run(experiment.Config(workdir=f"{tmp_path}/run", **flags))
    assert error.value.exit_code == 2 and "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_same_command_leaves_the_same_table_and_a_figure(tmp_path):
    tables = []
    for name in ("run", "again"):
        code, out, err = run("shortcuts", *SMALL, f"--workdir={tmp_path}/{name}")
        assert (code, err) == (0, ""), err
        assert f"figure: {tmp_path}/{name}/figure.png" in out and (tmp_path / name / "figure.pdf").exists()
        tables.append((tmp_path / name / "results.csv").read_text())
    assert tables[0] == tables[1]
    table = pd.read_csv(tmp_path / "run/results.csv")
    assert set(table["study"]) == {"projections", "table1", "skip_length"}


@pytest.mark.slow
def test_a_network_that_diverges_is_read_at_its_start(tmp_path):
    code, _, err = run("shortcuts", *SMALL, "--norms=none", "--learning_rate=1e20", f"--workdir={tmp_path}/run")
    table = pd.read_csv(tmp_path / "run/results.csv")
    assert (code, err) == (0, "") and (table["diverged"].notna() <= (table["stage"] == "start")).all()
