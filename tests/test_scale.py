"""What `benchmarks.scale` reads of compiled programs, against what is counted by hand."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import pandas as pd
import pytest
from commands import ROOT, run

from benchmarks import scale, scale_programs
from benchmarks.chips import Chip, limits
from benchmarks.collectives import Collective, collectives
from resjax import models
from resjax.cost import parameter_count
from resjax.system.errors import UserError

DEVICES, TURNS, OUTER, ROWS, WIDTH = 8, 7, 3, 32, 16
FLOAT = 4  # bytes
BY_HAND = """
%add (x: f32[], y: f32[]) -> f32[] {
}

%inner (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  ROOT %ag = f32[8]{0} all-gather(%p), replica_groups=[1,8]<=[8], dimensions={0}
}

%outer (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  ROOT %while.1 = f32[8] while(%p), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"7"}}
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %rs = f32[2]{0} reduce-scatter(%p), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}, to_apply=%add
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %a = (s8[3,4]{1,0}, bf16[], /*index=2*/pred[5]{0}) all-to-all(%x, %y, %z), replica_groups=[4,2]<=[8]
  %r = f32[6]{0} all-reduce(%x), replica_groups=mesh['a'=4,'b'=2] {'a','b'}, to_apply=%add
  %while = f32[8] while(%p), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"10"}}
  %while.2 = f32[8] while(%p), condition=%c, body=%outer, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %p2 = f32[3]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}
}
"""


def test_what_stands_in_a_text():
    assert collectives(BY_HAND) == [
        Collective("all-to-all", 3 * 4 + 2 + 5, group=2, times=1),
        Collective("all-reduce", 6 * FLOAT, group=8, times=1),
        Collective("reduce-scatter", 4 * 2 * FLOAT, group=4, times=10),
        Collective("all-gather", 8 * FLOAT, group=8, times=7 * 3),
        Collective("collective-permute", 3 * FLOAT, group=2, times=1),
    ]


@pytest.mark.parametrize("other", (BY_HAND.replace("known_trip_count", "x"), BY_HAND.replace("while(", "conditional(")))
def test_what_cannot_be_counted_is_refused(other):
    with pytest.raises(ValueError, match="not known"):
        collectives(other)


@pytest.mark.parametrize(
    ("kind", "sent"),
    (("all-reduce", 2 * 7 / 8), ("all-gather", 7 / 8), ("reduce-scatter", 7 / 8), ("all-to-all", 7 / 8)),
)
def test_what_a_ring_brings(kind, sent):
    assert Collective(kind, 800, group=8, times=3).received_bytes == 3 * 800 * sent


@pytest.mark.slow
def test_collectives_within_loops_count_as_often_as_they_run():
    script = pathlib.Path(__file__).parent / "scanned_on_devices.py"
    command = [sys.executable, script, *map(str, (DEVICES, TURNS, OUTER, ROWS, WIDTH))]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    summed, gathered = map(collectives, json.loads(done.stdout))
    assert summed == [Collective("all-reduce", FLOAT * WIDTH**2, DEVICES, TURNS)]
    assert gathered == [Collective("all-gather", FLOAT * ROWS * WIDTH, DEVICES, OUTER * TURNS)]


@pytest.mark.parametrize(("memory", "flops", "limit"), ((10, 200, "compute"), (10, 20, "links"), (11, 200, "memory")))
def test_the_limit_is_memory_or_what_takes_longer(memory, flops, limit):
    chip = Chip(memory=10, flops=100, links=5)
    found = limits(chip, memory, flops, received=3)
    assert (found.compute, found.links, found.limit) == (flops / 100, 3 / 5, limit)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Of a small transformer with 8 turns of attention and MLP."""
    out = tmp_path_factory.mktemp("scale") / "out"
    sizes = ("--chips=8", "--width=64", "--windows=2", "--tokens=32", "--networks=transformer:34")
    code, _, err = run("benchmarks.scale", *sizes, "--layouts=data,fsdp", f"--workdir={out}")
    assert code == 0, err
    results = pd.read_csv(out / "results.csv").set_index("layout")
    return results, pd.read_csv(out / "collectives.csv").set_index(["layout", "kind"])


@pytest.fixture(scope="module")
def parameters():
    """Of the same network: all of them, and those of its blocks."""
    network = models.transformer(34, 64, 16)
    params, _ = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32), "int32"))
    return parameter_count(params), parameter_count(params["stages"])


def test_whole_weights_sum_one_gradient_the_loss_and_the_accuracy(tables, parameters):
    results, kinds = tables
    assert results.loc["data", "parameters"] == parameters[0]
    assert kinds.loc["data"].index.tolist() == ["all-reduce"]
    assert kinds.loc[("data", "all-reduce"), "bytes"] == FLOAT * (parameters[0] + 2)


def test_split_weights_take_a_share_of_the_memory(tables, parameters):
    results, _ = tables
    batch = 2 * 2 * 32 * FLOAT  # inputs and targets, which are split in either layout
    whole, split = results.loc[["data", "fsdp"], "state_bytes"] - batch
    assert whole == pytest.approx(3 * FLOAT * parameters[0], rel=1e-4)  # weights and both moments of AdamW
    assert split == pytest.approx(whole / DEVICES, rel=0.01)


def test_split_weights_are_gathered_forward_and_back_and_the_batch_is_not(tables, parameters):
    _, kinds = tables
    every, blocks = parameters
    assert 2 * FLOAT * blocks <= kinds.loc[("fsdp", "all-gather"), "bytes"] <= 2 * FLOAT * every


@pytest.mark.parametrize(("turns", "split"), ((16, True), (7, False)))
def test_chips_split_layers_that_they_divide(turns, split):
    eight = scale_programs.ByLayers(jax.sharding.AbstractMesh((8,), ("data",)), fsdp=True)
    case = scale_programs.case("transformer", 4 * turns + 2, width=32, images=1, windows=1, tokens=4)
    assert scale_programs.splits(case, eight) == split


def test_layers_that_no_chips_split_are_refused(monkeypatch, tmp_path):
    for name in ("pretend", "layout", "splits"):
        monkeypatch.setattr(scale_programs, name, lambda *_: None)
    config = scale.Config(networks=("transformer:30",), layouts=("layers",), workdir=str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"^--layouts=layers: splits none of --networks over --chips evenly$"):
        scale.run(config)
    assert not list(tmp_path.iterdir())
