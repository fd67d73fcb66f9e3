"""The experiment `report`, small: its exit codes, tables, page and JSON, and the report of Python's own objects."""

import html.parser
import json
import re
import shlex

import flax.linen as linen
import jax
import numpy as np
import optax
import pandas as pd
import pytest
from scipy import stats

import resjax as rj
from experiments import report as experiment
from resjax import lab
from resjax.lab import page
from resjax.lab.report import page as report_page
from resjax.lab.site import gallery
from resjax.system.errors import UserError
from tests.torture.commands import here

SMALL = ("--depth=8", "--width=8", "--steps=40", "--learning_rates=0.01,0.03", "--rungs=2", "--batch_size=32")


class Swish(linen.Module):
    """y = x + swish(Wx)."""

    @linen.compact
    def __call__(self, x, train):
        return x + linen.swish(linen.Dense(x.shape[-1], dtype=x.dtype)(x))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the report, with networks that all runs share: (code, out, err), and its work directory."""
    store = tmp_path_factory.mktemp("store")

    def of(*flags):
        workdir = tmp_path_factory.mktemp("report")
        return here("report", *SMALL, f"--store={store}", f"--workdir={workdir}", *flags), workdir

    return of


@pytest.fixture(scope="module")
def trains(run):
    return run("--connections=residual", "--against=plain")


def test_a_network_that_trains_ends_with_0_and_says_where_its_page_is(trains):
    (code, out, err), workdir = trains
    assert (code, err) == (0, "") and f"report: {workdir}/report.html" in out
    results = pd.read_csv(workdir / "results.csv")
    assert results[["subject", "beside"]].to_numpy().tolist() == [["residual, batch", False], ["plain, batch", True]]


def test_one_that_does_not_ends_with_3_and_json_is_all_of_stdout(run):
    (code, out, _), workdir = run(
        "--connections=residual", "--against=plain", "--initializer=zeros", "--norms=none", "--json"
    )
    found = json.loads(out)
    assert code == 3 and (workdir / "report.html").exists()
    assert "does not train at depth 8" in found["verdict"][0]
    assert {check["check"] for check in found["checks"]} >= {"learned", "gradients", "frontier"}


def test_the_share_learned_is_that_of_the_table_of_rates(trains):
    _, workdir = trains
    results, rates = (pd.read_csv(workdir / f"{name}.csv") for name in ("results", "rates"))
    best = rates[rates["chosen"] & (rates["depth"] == 8)].set_index("subject")["train_loss"]
    _, labels = next(rj.data.digits().train.all(1500))
    constant = stats.entropy(np.bincount(labels))
    for row in results.itertuples():
        assert row.share == pytest.approx(max(0, 1 - best[row.subject] / constant), rel=1e-3)


class Reader(html.parser.HTMLParser):
    """The addresses and tags of a page."""

    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_beside_it(trains):
    _, workdir = trains
    reader = Reader()
    reader.feed((workdir / "report.html").read_text())
    addresses = [
        value for _, attrs in reader.tags for name, value in attrs.items() if name in ("src", "href", "xlink:href")
    ]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    pictures = [attrs for tag, attrs in reader.tags if tag == "svg"]
    assert len(pictures) == 2 and all(attrs["aria-label"] for attrs in pictures)


def test_every_command_of_the_page_is_one_that_can_be_asked_for(trains):
    _, workdir = trains
    commands = set(re.findall(r"<code>(python -m [^<]*)</code>", (workdir / "report.html").read_text()))
    assert len(commands) >= 4
    for command in commands:
        _, _, module, *flags = shlex.split(command)
        gallery.experiments()[module.removeprefix("experiments.")].STUDY.check(flags)


def test_names_are_escaped_and_numbers_saved_with_eight_digits():
    text = page.table(pd.DataFrame({"a<b": [1 / 3], "c": ["<script>"]}), "x")
    assert "<script>" not in text and 'data-value="0.33333333"' in text and "a&lt;b" in text


def test_a_report_of_an_own_block_is_made_of_what_fit_says():
    options = {"rates": (0.01, 0.03), "steps": 20, "batch_size": 32}
    found = rj.report(Swish(), depth=5, against={}, **options)
    best = found.tables["rates"].query("depth == 5 and chosen").iloc[0]
    network = rj.models.dense(5, block=Swish(), connection=rj.nn.Residual(), classes=10)
    tx = optax.sgd(best["learning_rate"], momentum=0.9)
    result = rj.fit(network, rj.data.digits(), tx, steps=20, batch_size=32, key=jax.random.key(0))
    assert best["train_loss"] == pytest.approx(result.train_loss, rel=1e-5)
    assert "Swish" in found.verdict and "<iframe" in found._repr_html_()


@pytest.mark.parametrize(
    "flag", ("activation=tanh", "order=post", "initializer=zeros", "branch=dense(layers=1)", "norms=layer")
)
def test_no_two_networks_have_one_name(flag):
    name, value = flag.split("=", 1)
    config = experiment.Config(depth=10, **{name: (value,) if name == "norms" else value})
    names = [lab.report.trials.name(trial) for trial in experiment.trials(config)]
    assert len(set(names)) == len(names) == (2 if name == "norms" else 3)


def test_a_network_as_it_is_is_asked_for_at_its_own_depth():
    network = rj.models.dense(6, width=4, connection=rj.nn.ReZero(), classes=10)
    found = rj.report(network, against={}, rates=(0.03,), steps=6)
    assert found.tables["rates"]["depth"].tolist() == [6] and "the network" in found.verdict


def test_hyperparameters_that_a_transformation_has_not_are_refused():
    network = rj.models.dense(4, width=4)
    with pytest.raises(ValueError, match=r"hyperparams rate: tx has learning_rate"):
        tx = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
        rj.fit(network, rj.data.digits(), tx, steps=1, key=jax.random.key(0), hyperparams={"rate": 1.0})
    with pytest.raises(ValueError, match="tx has none"):
        rj.fit(network, rj.data.digits(), optax.sgd(0.1), steps=1, key=jax.random.key(0), hyperparams={"rate": 1.0})


BROKEN = """
import flax.linen as nn
import jax.numpy as jnp


class Nan(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return x + jnp.log(-1.0 - nn.Dense(x.shape[-1])(x) ** 2)


class Narrow(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return x + nn.Dense(3)(x)
"""


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A file of blocks that are wrong, on the path."""
    (tmp_path / "broken_blocks.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_no_number_at_the_start_is_a_verdict(run, broken):
    (code, out, err), workdir = run("--block=broken_blocks:Nan", "--against=plain")
    assert (code, err) == (3, "") and "broken_blocks:Nan, residual does not train at depth 8" in " ".join(out.split())
    found = pd.read_csv(workdir / "checks.csv").query("not beside").set_index("check")["status"]
    assert found["condition"] == "bad"


def test_a_block_that_cannot_be_built_is_told_with_its_line_before_anything_is_done(run, broken):
    (code, _, err), workdir = run("--block=broken_blocks:Narrow", "--against=plain")
    assert code == 2 and "(broken_blocks.py, line 15)" in err and err.count("\n") == 1
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize(
    "network",
    (
        "transformer(heads=2)",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("vit(patch=4,heads=2)", "resnet", "iresnet")),
    ),
)
def test_any_network_is_read_trained_and_looked_at_after_it(tmp_path, network):
    depth = {"resnet": 8, "iresnet": 10}.get(network, 6)
    own = (f"--network={network}", f"--depth={depth}", "--width=4", "--steps=11", "--learning_rates=0.01", "--rungs=1")
    ended = here(
        "report", *own, "--connections=residual", "--against=residual", "--batch_size=4", f"--workdir={tmp_path}"
    )
    assert ended.code in (0, 3) and ended.err == ""
    found = pd.read_csv(tmp_path / "checks.csv")["check"]
    assert set(found) >= {"learned", "best rate", "frontier", "activations", "gradients", "inputs", "shattering"}


@pytest.mark.slow
def test_a_trained_network_of_tokens_is_looked_at_too():
    data = rj.data.text(window=8)
    network = rj.models.transformer(10, heads=2, width=8, classes=256)
    params, state = network.init(jax.random.key(0), jax.numpy.zeros((1, 8), jax.numpy.int32))
    x, labels = next(data.train.all(4))
    found = rj.reporting.trained.read(network, params, state, x, labels, jax.random.key(0))
    assert {"lesions", "paths", "landscape"} == {check.check for check in rj.reporting.trained.checks(found, 4)}
    assert 0 <= found["path_low"] <= found["path_high"] <= 4 and 0 <= found["convexity"] <= 1


def test_a_report_has_no_sweep():
    with pytest.raises(UserError, match="--sweep=width=4,8: a report has no sweep"):
        experiment.Config(sweep="width=4,8")


@pytest.mark.parametrize(
    ("network", "depth", "dataset"),
    (("dense", 1000, "digits"), ("transformer", 50, "text(window=64)"), ("resnet", 56, "digits")),
)
def test_what_is_left_open_is_what_the_kind_of_network_has(network, depth, dataset):
    config = experiment.Config(network=network)
    assert (config.depth, config.dataset) == (depth, dataset)


def test_a_report_answers_for_the_depth_asked_for_or_says_which_there_are():
    with pytest.raises(ValueError, match=r"^depth 21: .*20.*22"):
        rj.report(rj.nn.ReZero(), depth=21, against={}, rates=(0.03,), steps=2)
    with pytest.raises(ValueError, match="give at least one learning rate"):
        rj.report(rj.nn.ReZero(), depth=20, rates=())


def test_a_network_called_as_one_beside_it_is_not_taken_for_it():
    def residual(depth):
        return rj.models.dense(depth, width=4, norm=rj.nn.LayerNorm(), classes=10)

    found = rj.report(residual, depth=6, rates=(0.01,), steps=2).tables["results"]
    assert found["subject"].tolist() == ["your residual", "plain", "residual"]
    assert not found["beside"].iloc[0] and found["parameters"].iloc[0] < found["parameters"].iloc[1:].min()


@pytest.mark.parametrize("kind", ("shattered_gradients", "depth_scaling", "signal_propagation"))
def test_commands_of_a_report_on_tokens_can_be_asked_for_or_are_not_there(kind):
    config = experiment.STUDY.config(network="transformer(heads=2)", depth=10)
    found = report_page.command_of(config, {"experiment": kind})
    assert bool(found) == (kind == "depth_scaling")
    if found:
        flags = shlex.split(found)[3:]
        gallery.experiments()[kind].STUDY.check(flags)
        assert "--dataset=text(window=64)" in flags


@pytest.mark.parametrize(
    ("words", "says"),
    (
        (["--steps=8"], "--log_every=5: must be at most half of --steps=8"),
        (["--label_smoothing=0.5"], "--label_smoothing=0.5: what is to be learned is known of"),
        (["--task=mine:hinge"], "--task=mine:hinge: what is to be learned is known of"),
    ),
)
def test_a_report_that_would_say_something_wrong_is_refused(words, says):
    with pytest.raises(UserError, match=says):
        experiment.STUDY.check(["--depth=10", *words])
