"""What is the user's own is tried before anything is written, and what cannot fit is refused."""

import dataclasses
import pathlib
import re

import jax
import jax.numpy as jnp
import own_signatures
import pytest

from resjax import models, nn
from resjax.lab import building, plan, registry, rehearsal
from resjax.lab.optimizer import Optimizer
from resjax.lab.trial import Start, Trial
from resjax.system import files, memory
from resjax.system.errors import UserError
from resjax.training.optimizers import step_schedule

SMALL = {"depth": 6, "width": 4, "batch_size": 8}
MODULE = "a flax.linen.Module that is called"
OWN = (
    ("block", "WithoutTrain", f"takes 2 positional arguments but 3 were given; it must be {MODULE} (x, train) -> y"),
    ("branch", "WithoutTrain", f"takes 2 positional arguments but 3 were given; it must be {MODULE} (x, train) -> f"),
    ("norm", "WithoutTrain", f"takes 2 positional arguments but 3 were given; it must be {MODULE} (x, train) -> x"),
    ("block", "WrongShape", "got (4,) and (3,). (own_signatures.py, line "),
    ("block", "WrongType", "does not accept dtype float32 at position 0"),
    ("branch", "WrongType", "(own_signatures.py, line "),
    ("block", "Narrow", "Narrow makes 1 of 4, not its own shape"),
    ("branch", "Narrow", "Narrow makes 1 of 4, not its own shape"),
    ("norm", "Narrow", "Narrow makes 1 of 4, not its own shape"),
    ("norm", "Faulty", "KeyError: 'scale' (own_signatures.py, line "),
    (
        "connection",
        "NoConnection",
        "must give a resjax.nn.Connection with write(x, f, c, place) -> x, not NoConnection",
    ),
    (
        "connection",
        "ShortWrite",
        "3 positional arguments but 5 were given; it must be a resjax.nn.Connection with write",
    ),
    (
        "optimizer",
        "rate_alone",
        "'weight_decay'; it must be a function (learning_rate, weight_decay) that gives an optax",
    ),
    ("optimizer", "no_optimizer", "must give a function (learning_rate, weight_decay) that gives an optax.Gradient"),
    ("optimizer", "one_argument", "it must be a function (learning_rate, weight_decay) that gives an optax.Gradient"),
    ("schedule", "of_peak", "'steps'; it must be a function (peak, steps) that gives a function step -> rate"),
    ("schedule", "negative", "gives -0.95 at step 1"),
    ("schedule", "nothing", "gives 0 at all of --steps=200"),
    ("schedule", "vector", "must give one number a step, not 3"),
    ("schedule", "branching", "(own_signatures.py, line "),
    ("augment", "without_key", "it must be a function that gives a function (key, images) -> images"),
    ("augment", "cut", "must give images as it gets them, float32 8 8 8 1, not float32 8 4 8 1"),
    ("activation", "bare", "'x'; it must be a function that gives a function of arrays"),
    ("initializer", "shape_alone", "it must be a function that gives a function (key, shape, dtype) -> array"),
    ("survival", "of_blocks", "'lengths'; it must be a function of lengths, the blocks of each stage"),
)


def refused(**options):
    """What the plan of a trial says that refuses it."""
    with pytest.raises(UserError) as error:
        plan.plan(Trial(**SMALL | options))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("kind", "name", "says"), OWN)
def test_what_is_ones_own_is_refused_with_its_name_and_what_it_must_be(kind, name, says):
    path = f"own_signatures:{name}"
    line = refused(**{kind: (path,) if kind == "augment" else path})
    assert path in line and says in line


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    (("block", "WrongShape", "x @ jnp.ones"), ("norm", "Faulty", '{}["scale"]'), ("schedule", "branching", "step > 3")),
)
def test_the_line_that_is_named_is_the_one_at_fault(kind, name, code):
    number = int(re.search(r"own_signatures.py, line (\d+)", refused(**{kind: f"own_signatures:{name}"}))[1])
    assert code in pathlib.Path(own_signatures.__file__).read_text().splitlines()[number - 1]


def test_of_two_in_one_file_the_one_at_fault_is_named():
    line = refused(block="own_signatures:WrongShape", norm="own_signatures:WithoutTrain")
    assert line.startswith("block 'own_signatures:WrongShape'")


def test_a_block_that_leaves_the_precision_is_refused():
    assert "Single makes float32 of bfloat16" in refused(block="own_signatures:Single", dtype="bfloat16")


def test_a_module_that_does_not_import_says_where(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "half_written.py").write_text("def norm(:\n")
    (tmp_path / "divides.py").write_text("x = 1 / 0\n")
    assert "SyntaxError: invalid syntax (half_written.py, line 1)" in refused(norm="half_written:norm")
    assert "ZeroDivisionError: division by zero (divides.py, line 1)" in refused(norm="divides:norm")


@pytest.mark.parametrize(
    ("network", "depth"), (("dense", 20), ("resnet", 20), ("bottleneck", 29), ("iresnet", 28), ("preact", 26))
)
def test_the_parameters_counted_of_the_short_network_are_those_of_the_long_one(network, depth, monkeypatch):
    looped = network == "preact"  # whose blocks share their weights
    found = building.network(Trial(network=network, depth=depth, width=4, norm="batch", looped=looped), 10)
    said = []
    monkeypatch.setattr(memory, "check", lambda needed, what, devices=1: said.append((needed, what)))
    rehearsal.network(found, (8, 8, 1))
    params, _ = jax.eval_shape(found.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert said == [(4 * count, f"with {count:,} parameters it")]


def test_what_does_not_fit_is_refused_with_its_size_and_what_is_there(monkeypatch):
    monkeypatch.setattr(memory, "there", lambda devices=1: devices * 2**20)
    line = refused(width=400, depth=8)  # 10⁶ parameters: weights, gradients, momenta are 11 MiB
    assert "of depth 8 and width 400" in line and "of memory or more, and there are 1 MiB" in line
    data = plan.load(Trial())
    with pytest.raises(ValueError, match=r"a batch of 8000 examples needs 1\.95 MiB"):
        rehearsal.training(models.dense(6, 4), None, data, 8000, (), 0, 1)


def test_inputs_of_networks_that_are_only_read_are_tried_in_their_precision():
    def check(x64):
        trial = Start(depth=6, width=4, x64=x64, block="own_signatures:NoDouble")
        building.check(trial, building.network(trial, 3), (8, 8, 1), "--inputs")

    check(x64=False)
    with pytest.raises(UserError, match="block 'own_signatures:NoDouble': has no float64"):
        check(x64=True)


def test_sizes_are_read_easily():
    assert [memory.size(number) for number in (0, 999, 1536, 72 * 2**60)] == [
        "0 bytes",
        "999 bytes",
        "1.5 KiB",
        "72 EiB",
    ]


@pytest.mark.parametrize("norm", (nn.BatchNorm(), nn.Center()))
def test_a_batch_of_one_vector_has_no_statistics(norm):
    def run(shape, train=True):
        x = jnp.ones(shape)
        variables = norm.init(jax.random.key(0), x, train=False)
        return norm.apply(variables, x, train=train, mutable=["batch_stats"])

    with pytest.raises(ValueError, match="a batch of one vector has no statistics"):
        run((1, 5))
    run((1, 2, 2, 5))
    run((1, 5), train=False)


@pytest.mark.parametrize("steps", (1, 2, 3, 4, 10, 200))
def test_a_step_schedule_of_few_steps_loses_no_change(steps):
    """After training the rate has fallen twice, whatever steps the changes fall on; before step 1 it has not fallen."""
    rate = step_schedule(1.0, steps, at=(0.5, 0.75), factor=0.1)
    assert float(rate(steps)) == pytest.approx(0.01) and float(rate(0)) == 1.0


def test_slow_steps_must_end_before_the_rate_falls():
    with pytest.raises(ValueError, match="slow_steps=400: must be less than 400"):
        step_schedule(1.0, 800, slow_steps=400)
    rates = [float(step_schedule(1.0, 1000, slow_steps=400)(step)) for step in (0, 399, 401, 499, 501, 999)]
    assert rates == pytest.approx([0.1, 0.1, 1.0, 1.0, 0.1, 0.01])


def test_every_step_of_a_schedule_is_looked_at():
    rate = Optimizer("sgd", 0.1, "own_signatures:negative", 0, 0.0, 0.0, 10**9)
    with pytest.raises(UserError, match=r"gives -1.001e\+06 at step 1001001"):
        rate.check()


def test_a_tilde_is_the_home_of_whoever_runs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.place("~/runs/one") == tmp_path / "runs/one" and files.place("runs/~") == pathlib.Path("runs/~")
    with pytest.raises(UserError, match=r"a folder of that name is \./~nobody_here"):
        files.place("~nobody_here/x")


def test_the_abstract_network_of_stochastic_depth_has_the_least_probability():
    network = building.network(Trial(**SMALL | {"depth": 20}), 10)
    gates = registry.survival("linear(last=0.3)", "sample", "test", network.lengths)
    short = rehearsal.shortened(dataclasses.replace(network, stochastic_depth=gates))
    assert short.length == 2 and short.stochastic_depth.survival == pytest.approx((0.3, 0.3))
