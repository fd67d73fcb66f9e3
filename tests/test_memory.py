"""A network that exhausts the device's memory: one line, a row of the tables, and the list goes on."""

import re

import jax
import jax.numpy as jnp
import pandas as pd
import pytest

from experiments import depth_scaling
from resjax.lab import bench, memory
from resjax.lab.train import train
from resjax.lab.trial import Trial
from resjax.system.errors import Failure
from resjax.training import compilation

X = jnp.ones(2**21)
GPU = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 137438953472 bytes.\n[tf-allocator-allocation-error]"
NEW = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1.50GiB."
TPU = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 22.58G of 15.48G hbm. Exceeded by 7.10G."


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("RESOURCE_EXHAUSTED: Out of memory allocating 1536 bytes.", "1.5 KiB"),
        (GPU, "128 GiB"),
        (NEW, "1.50GiB"),
        (TPU, "22.58G of 15.48G"),
        ("RESOURCE_EXHAUSTED: something new\nmore", "RESOURCE_EXHAUSTED: something new"),
    ),
)
def test_what_was_asked_for_is_read_from_every_devices_message(text, expected):
    assert memory.asked(jax.errors.JaxRuntimeError(text)) == expected


@pytest.mark.parametrize(
    ("options", "named"),
    (
        ({}, ["--batch_size=32", "--dtype=bfloat16"]),
        ({"remat": "", "batch_size": 2}, ["--remat=nothing_saveable", "--dtype=bfloat16"]),
        ({"dtype": "bfloat16", "num_seeds": 3}, ["--batch_size=32", "fewer seeds together"]),
        ({"dtype": "bfloat16", "batch_size": 3}, ["a smaller network"]),
    ),
)
def test_what_is_named_is_what_the_network_does_not_do_already(options, named):
    text = memory.advice(Trial(depth=4, **options), jax.errors.JaxRuntimeError(NEW))
    assert text.rpartition("needed with ")[2].split(", ") == named and "\n" not in text


def test_weights_and_optimiser_are_counted_with_the_gradient():
    text = memory.advice(Trial(depth=4, width=64, norm="none"), jax.errors.JaxRuntimeError(NEW))
    weights = 2 * (64 * 64 + 64) + 64 * 64 + 64 + 64 * 10 + 10
    found = float(re.search(r"optimiser: ([\d.]+) KiB", text)[1])
    assert found == pytest.approx(3 * 4 * weights / 1024, rel=0.01)  # and the momentum of SGD


@pytest.mark.parametrize("many", (lambda: jnp.ones(2**42), lambda: jax.jit(lambda x: jnp.outer(x, x).sort())(X)))
def test_an_allocation_that_fails_is_known_by_what_the_runtime_says(many):
    with pytest.raises(jax.errors.JaxRuntimeError) as raised:
        jax.block_until_ready(many())
    assert memory.exhausted(raised.value) and memory.asked(raised.value) == "32 TiB"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs depth_scaling on networks of which some exhaust the memory: the results, and what was printed."""
    monkeypatch.setattr(compilation, "keep", lambda folder: None)  # for the rest of this process

    def run(*depths, **options):
        def fails(trial, *arguments):
            if trial.depth in depths:
                raise jax.errors.JaxRuntimeError(GPU)
            return train(trial, *arguments)

        monkeypatch.setattr(bench, "train", fails)
        usual = dict(connections=("residual",), norms=("none",), width=8, steps=3, learning_rate=0.05)
        config = depth_scaling.Config(depths=(4, 6), workdir=str(tmp_path / "run"), **usual | options)
        depth_scaling.STUDY.run(config)
        tables = {name: pd.read_csv(tmp_path / f"run/{name}.csv") for name in ("results", "curves")}
        return tables, capsys.readouterr().out

    return run


def test_the_list_goes_on_and_the_network_is_a_row(run):
    tables, out = run(4)
    (lost, sound) = tables["results"].to_dict("records")
    assert (lost["depth"], lost["diverged"]) == (4, memory.NO_STEP) and pd.isna(lost["train_loss"])
    assert sound["depth"] == 6 and pd.isna(sound["diverged"]) and sound["train_loss"] > 0
    assert set(tables["curves"]["depth"]) == {6}
    (line,) = (line for line in out.splitlines() if "exhausted" in line)
    assert line.startswith("residual/none depth 4") and "128 GiB asked for" in line
    again, out = run()
    assert again["results"]["diverged"].isna().all() and "exhausted" not in out  # nothing keeps it from another try


@pytest.mark.slow
def test_where_seeds_train_together_each_has_its_row(run):
    tables, _ = run(4, 6, seeds=2, seeds_together=True)
    assert tables["results"]["diverged"].tolist() == [memory.NO_STEP] * 4 and not len(tables["curves"])


def test_another_error_of_the_runtime_stays_what_it_is(tmp_path):
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), memory.named("a network"):
        raise jax.errors.JaxRuntimeError("INTERNAL: a fault")
    with (
        pytest.raises(Failure, match=r"a network: to measure it exhausts .* 1.50GiB asked for"),
        memory.named("a network"),
    ):
        raise jax.errors.JaxRuntimeError(NEW)
