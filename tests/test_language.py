"""Experiments on texts, from the flags to tables and figures; what cannot be asked of them is refused in one line."""

import math

import numpy as np
import pytest
from test_bad_flags import refused_here  # noqa: F401 (a fixture)

from experiments import depth_frontier, depth_scaling
from resjax.lab import flags
from resjax.lab.trial import Trial
from resjax.training import tasks

TINY = (
    "--network=transformer(heads=2)", "--dataset=text(window=8)", "--width=8", "--connections=residual",
    "--norms=layer", "--batch_size=4", "--learning_rate=0.01", "--optimizer=adamw",
)  # fmt: skip


def run(module, *arguments):
    study = module.STUDY
    study.run(flags.parse(study.config, [study.name, *TINY, *arguments]))


def test_orders_are_swept_and_losses_told_in_bits(tmp_path):
    run(depth_scaling, "--depths=6", "--steps=3", "--sweep=order=pre,deepnorm", f"--workdir={tmp_path}")
    table = depth_scaling.STUDY.tables["results"]
    found = np.genfromtxt(tmp_path / "results.csv", delimiter=",", names=True, dtype=None, encoding=None)
    assert list(found["order"]) == ["pre", "deepnorm"] and set(table) < set(found.dtype.names)
    assert list(found["blocks"]) == [1, 1]  # of attention and MLP
    held_out = np.genfromtxt(tmp_path / "held_out.csv", delimiter=",", names=True, dtype=None, encoding=None)
    assert np.allclose(held_out["test_loss"], math.log(256), rtol=0.2)  # it has hardly begun
    assert (tmp_path / "figure.png").stat().st_size and (tmp_path / "curves.png").stat().st_size


@pytest.mark.slow
def test_the_frontier_of_a_text_is_where_its_loss_no_longer_falls(tmp_path):
    goal = "--accuracy=0.001", "--loss=5.4", "--evaluate_every=2", "--max_depth=10", "--clip_norm=1"
    run(depth_frontier, *goal, "--steps=20", f"--workdir={tmp_path}")
    found = np.genfromtxt(tmp_path / "results.csv", delimiter=",", names=True, dtype=None, encoding=None)
    assert found["frontier_depth"] == 10 and found["ended"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    (
        (["--network=transformer"], "inputs are float32 8×8×1: a network of tokens needs integers, one row an example"),
        (["--network=dense", "--dataset=text"], "inputs are int32: make images floating point"),
        (["--network=transformer(heads=3)", "--dataset=text"], "width 64: must be a multiple of 3, the heads"),
        (["--network=transformer", "--dataset=text(window=100000)"], "window=100000: must be at most"),
        (
            ["--network=transformer", "--dataset=text", "--order=deepnorm", "--connections=rezero"],
            "connection ReZero: this order has its own, Scaled; use Residual",
        ),
        (["--network=transformer", "--dataset=text", "--order=deepnrm"], "unknown order 'deepnrm', perhaps deepnorm"),
        (["--task=language_model"], "--task=language_model: digits is for classification"),
        (["--task=regresion"], "unknown task 'regresion', perhaps regression"),
        (["--task=own_blocks:Mine"], "must give a resjax.training.tasks.Task"),
        (["--network=vit(patch=3)"], "patches of 3×3 pixels do not fill images of 8×8×1"),
        (["--network=transformer", "--dataset=text", "--augment=flip"], "this augmentation is for images B H W C"),
        (["--network=transformer", "--dataset=text", "--order=complete_p(base=0)"], "base=0: must be above 0"),
        (
            ["--network=resnet", "--depths=8", "--order=mix_ln", "--connections=residual"],
            "goes with a network of one stage",
        ),
    ),
)
def test_what_cannot_be_is_refused(refused_here, monkeypatch, arguments, says):  # noqa: F811
    monkeypatch.syspath_prepend("tests")
    usual = [] if any("--depths" in one for one in arguments) else ["--depths=10"]
    usual += [] if any("--connections" in one for one in arguments) else ["--connections=residual"]
    assert says in refused_here("--norms=layer", "--steps=2", *usual, *arguments)


def test_a_task_of_ones_own_is_learned_and_is_the_score(tmp_path, monkeypatch):
    (tmp_path / "my_task.py").write_text(
        "import jax.numpy as jnp\n"
        "from resjax.training.tasks import Task\n"
        "def hinge(margin=1.0):\n"
        "    def loss(outputs, targets):\n"
        "        right = jnp.take_along_axis(outputs, targets[:, None], 1)\n"
        "        return jnp.maximum(0, margin + outputs - right).sum(-1)\n"
        "    return Task(loss=loss)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from resjax.lab import plan

    planned = plan.plan(Trial(task="my_task:hinge(margin=2.0)", depth=4, width=8))
    outputs = np.array([[0.0, 3.0, 1.5]])
    targets = np.array([1])
    assert planned.task.loss(outputs, targets).tolist() == [2 + 0.5]  # of the right class, and of the third
    assert planned.task.score is tasks.CLASSIFICATION.score
