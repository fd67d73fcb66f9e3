import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from commands import run
from helpers import close, double, jitter

from experiments import lesions as experiment
from experiments import lesions_measure
from resjax import architectures, files, runs, steps, train
from resjax.config import Point, Untrained, option
from resjax.errors import UserError
from resjax.networks import Network
from resjax.probes import lesions
from resjax.record import WorkDirectory
from resjax.stack import Layers

DENSE = {"depth": 8}
IMAGES = {"network": "resnet", "depth": 20}  # blocks 3 and 6 change the shape
apply = jax.jit(Network.apply, static_argnums=0)


def build(point):
    """A small network of ten classes."""
    return architectures.build(Untrained(**{"width": 4, "norm": "batch"} | point), 10)


def network(point):
    """Its first two stages with random parameters and state, in float64, and images: (network, params, state, x)."""
    built = build(point)
    built = dataclasses.replace(built, stages=built.stages[:3])  # the block that changes the shape is a stack
    x = jax.random.normal(jax.random.key(1), (4, 8, 8, 1), jnp.float64)
    params, state = jax.jit(Network.init, static_argnums=0)(built, jax.random.key(0), x)
    return built, jitter(double(params), 2), jitter(double(state), 3), x


def lesioned(built, params, state, x, alive=None, order=None):
    """The logits of a network with a lesion."""
    alive = np.ones(built.length, bool) if alive is None else alive
    order = np.arange(built.length) if order is None else order
    return apply(built, params, state, x, Layers(alive=jnp.asarray(alive), order=jnp.asarray(order)))[0]


def by_stack(built, blocks):
    """Numbers of blocks, in the stack they are in, as numbers there."""
    ends = np.cumsum([stack.length for stack in built.stages])
    parts = np.split(np.asarray(blocks), np.searchsorted(np.sort(blocks), ends[:-1]))
    return [part - (end - stack.length) for part, end, stack in zip(parts, ends, built.stages, strict=True)]


def only(built, tree, blocks):
    """Parameters or state of these blocks alone, in this order."""
    chosen = zip(tree["stages"], by_stack(built, blocks), strict=True)
    return tree | {"stages": [jax.tree.map(lambda leaf, at=at: leaf[at], stage) for stage, at in chosen]}


@pytest.mark.parametrize(
    ("point", "block"),
    ((DENSE, 0), (DENSE, 2), (DENSE | {"connection": "plain"}, 1), pytest.param(IMAGES, 5, marks=pytest.mark.slow)),
)
def test_a_lesion_is_the_network_built_without_the_block(point, block):
    built, params, state, x = network(point)
    rest = np.delete(np.arange(built.length), block)
    sizes = map(len, by_stack(built, rest))
    stages = [dataclasses.replace(stack, length=n) for stack, n in zip(built.stages, sizes, strict=True)]
    smaller = dataclasses.replace(built, stages=tuple(stages))
    expected, _, _ = apply(smaller, only(built, params, rest), only(built, state, rest), x)
    close(lesioned(built, params, state, x, alive=lesions.deletion(built.length, [block])), expected)


@pytest.mark.parametrize(("point", "order"), ((DENSE, [2, 0, 1]), (IMAGES, [2, 0, 1, 3, 5, 4])))
def test_an_order_is_a_permutation_of_parameters_and_state(point, order):
    built, params, state, x = network(point)
    lesions.check_order(built, order)
    y = lesioned(built, params, state, x, order=order)
    close(y, lesioned(built, only(built, params, order), only(built, state, order), x))
    assert not np.allclose(y, lesioned(built, params, state, x))


@pytest.mark.parametrize("point", (DENSE | {"depth": 30}, IMAGES | {"depth": 32}))
@pytest.mark.parametrize("count", (1, 3, 11))
def test_random_deletions_delete_so_many_blocks_that_keep_the_shape(point, count):
    built = build(point)
    alive = lesions.random_deletions(jax.random.key(0), built, count, 8)
    assert alive.shape == (8, built.length) and ((~alive).sum(1) == count).all()
    assert alive[:, np.array(built.changes_shape)].all() and len(np.unique(alive, axis=0)) > 1
    assert (alive == lesions.random_deletions(jax.random.key(0), built, count, 8)).all()


@pytest.mark.parametrize("point", (DENSE | {"depth": 30}, IMAGES | {"depth": 32}))
def test_swaps_stay_in_their_stage_and_one_moves_two_blocks(point):
    built = build(point)
    for key in jax.random.split(jax.random.key(0), 10):
        one, many = (lesions.swaps(key, built, count) for count in (1, 20))
        lesions.check_order(built, one)
        lesions.check_order(built, many)
        assert (one != np.arange(built.length)).sum() == 2 < (many != np.arange(built.length)).sum()


def test_every_pair_of_a_stage_can_be_swapped():
    pairs = lesions.pairs(build(IMAGES))
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2], [4, 5], [7, 8]]


@pytest.mark.parametrize("length", (2, 5, 27))
def test_kendall_tau_of_a_swap_of_neighbours(length):
    order = [*range(length - 2), length - 1, length - 2]
    assert lesions.kendall_tau(order) == pytest.approx(1 - 4 / (length * (length - 1)))
    assert [lesions.kendall_tau(range(length)[::step]) for step in (1, -1)] == pytest.approx([1, -1])


def test_all_lesions_of_a_network_run_in_one_program():
    point = experiment.Lesioned(width=8, depth=8, deletions=(1, 2), swapped=(1, 3), draws=3, permutation=(0, 2, 1))
    built, optimizer, dataset = train.plan(point)
    carry = steps.initialize(built, optimizer, steps.key_of(0), jnp.zeros((1, *dataset.train.shape), jnp.float32))
    compiled = steps.evaluate_batch._cache_size()
    rows = lesions_measure.measure(point, built, carry, dataset)["rows"]
    assert len(rows) == 1 + 3 + 1 + 4 * 3 and steps.evaluate_batch._cache_size() == compiled + 1
    loss, accuracy = train.evaluate(built, carry.params, carry.state, dataset.test)
    assert (rows[0]["kind"], rows[0]["accuracy"]) == ("none", accuracy) and rows[0]["loss"] == pytest.approx(loss)
    assert all(
        (row["kendall_tau"] < 1) == (row["kind"] in ("swap", "permutation")) for row in rows if row["count"] == 1
    )


@pytest.mark.parametrize(
    ("refused", "says"),
    (
        (lambda built: lesions.random_deletions(jax.random.key(0), built, 8, 1), "--deletions=8: the network has 7 "),
        (lambda built: lesions.check_blocks(built, [0, 9]), "--blocks=9: the network has blocks 0 to 8"),
        (lambda built: lesions.check_blocks(built, [3]), "it cannot be deleted; those that can are 0–2, 4–5, 7–8"),
        (lambda built: lesions.check_order(built, [0, 1, 1, 3, 4, 5, 6, 7, 8]), "is no permutation of the blocks 0"),
        (lambda built: lesions.check_order(built, range(8)), "is no permutation of the blocks 0 to 8"),
        (lambda built: lesions.check_order(built, [0, 1, 4, 3, 2, 5, 6, 7, 8]), "block 4 cannot stand at place 2"),
        (lambda built: lesions.check_order(built, [0, 1, 2, 4, 3, 5, 6, 7, 8]), "block 4 cannot stand at place 3"),
        (lambda built: lesions.pairs(build(IMAGES | {"depth": 8})), "no two blocks in one stage"),
    ),
)
def test_lesions_that_cannot_be(refused, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        refused(build(IMAGES))
    assert "\n" not in str(error.value)


@dataclasses.dataclass(frozen=True)
class Own(Point):
    """A point of another experiment, whose configuration hashes differently."""

    extra: int = option(3, "")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with two networks that trained together in an experiment of its own, as an older version left it."""
    work = WorkDirectory(tmp_path_factory.mktemp("finished"), {})
    point = Own(depth=4, width=8, steps=5, connection="plain", together=2)
    work.finish(point, *train.fit(point, work.folder(point)))
    path = work.folder(point) / "config.json"
    files.seal(path, {name: value for name, value in files.unseal(path).items() if name != "clip_norm"})
    return work.path


def test_networks_of_another_run_are_restored_as_they_were_trained(finished):
    saved = runs.networks_of(finished)
    assert [(point.connection, point.seed) for point, _ in saved] == [("plain", 0), ("plain", 1)]
    for at, (point, folder) in enumerate(saved):
        built, carry, dataset = runs.restore(point, folder)
        result = json.loads((folder / "done.json").read_text())["result"]
        assert train.evaluate(built, carry.params, carry.state, dataset.test)[1] == result["test_accuracy"][at]
        assert runs.diverged(point, folder) is None


@pytest.mark.parametrize(
    "flags", ({}, {"connections": ("plain",)}, {"depth": 4, "width": 8, "steps": 5, "learning_rate": 0.05, "seeds": 2})
)
def test_flags_that_agree_with_the_other_run(finished, flags):
    taken = lesions_measure.taken(experiment.Config(from_=str(finished), data_dir="/elsewhere", **flags))
    assert [(point.seed, point.data_dir) for point, _ in taken] == [(0, "/elsewhere"), (1, "/elsewhere")]


@pytest.mark.parametrize(
    ("flags", "says"),
    (
        ({"width": 32}, "width is 8 there and 32 here"),
        ({"network": "resnet"}, "network is dense there and resnet here"),
        ({"connections": ("plain", "rezero")}, "connection is plain there and rezero here"),
        ({"seeds": 3}, "seed is 0, 1 there and 2 here"),
        ({"from_": "/nowhere"}, "--from=/nowhere: is not the work directory of a run"),
    ),
)
def test_flags_that_contradict_the_other_run(finished, flags, says):
    with pytest.raises(UserError, match=re.escape(says)):
        lesions_measure.taken(experiment.Config(**{"from_": str(finished)} | flags))


def test_what_the_table_does_not_tell_apart_is_chosen_by_flags(monkeypatch):
    points = [Point(depth=depth, norm=norm) for depth in (8, 4) for norm in ("batch", "none")]
    monkeypatch.setattr(runs, "networks_of", lambda workdir, trusted: [(point, workdir) for point in points])

    def taken(**flags):
        return [point for point, _ in lesions_measure.taken(experiment.Config(from_="other", **flags))]

    assert taken(depth=8) == points[:1] and taken(depth=4, norm="none") == points[3:]
    with pytest.raises(UserError, match="--from=other: depth is 4, 8 there: choose one with --depth"):
        taken()


def test_checkpoints_that_are_missing_or_of_another_network(finished, tmp_path):
    (tmp_path / "points").mkdir()
    with pytest.raises(UserError, match="none of its networks has a checkpoint"):
        runs.networks_of(tmp_path)
    point, folder = runs.networks_of(finished)[0]
    with pytest.raises(UserError, match=r"--from: .* of another run: .* is float32\[2, 8\], expected float32\[2, 9\]"):
        runs.restore(dataclasses.replace(point, width=9), folder)


@pytest.mark.slow
def test_the_networks_of_its_own_run_give_the_same_table(tmp_path):
    small = ("--deletions=1,2", "--swapped=1,4", "--draws=2")
    training = ("--depth=8", "--width=8", "--steps=20", "--batch_size=32", "--seeds=2")
    tables = []
    for name, flags in (("run", (*training, *small)), ("again", (f"--from={tmp_path}/run", *small))):
        code, out, err = run("lesions", *flags, f"--workdir={tmp_path}/{name}")
        assert (code, err) == (0, ""), err
        assert f"figure: {tmp_path}/{name}/figure.png" in out and (tmp_path / f"{name}/figure.pdf").exists()
        tables.append(pd.read_csv(tmp_path / f"{name}/results.csv"))
    assert ",".join(tables[0].columns) == "network,training,seed,kind,count,draw,block,kendall_tau,loss,accuracy"
    assert set(tables[0]["kind"]) == {"none", "delete", "delete_random", "swap"}
    pd.testing.assert_frame_equal(*tables)
