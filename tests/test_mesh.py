"""Many devices compute what one does, after 50 steps in float64: in one process, and in two."""

import functools
import os
import pathlib
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
from commands import ROOT

from resjax.system import sharding
from resjax.system.errors import UserError

MORE = "together,dropped"


def start(out, names, layout="", fsdp="", devices=1, coordinator=()):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    script = pathlib.Path(__file__).parent / "on_devices.py"
    command = [sys.executable, script, out, names, layout, fsdp, *map(str, coordinator)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(*processes):
    for process in processes:
        _, err = process.communicate()
        assert process.returncode == 0, err


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Where the networks of these names are, trained on one device, each once."""

    @functools.cache
    def train(names):
        out = tmp_path_factory.mktemp("alone") / "one"
        finish(start(out, names))
        return out

    return train


def same(one, other, names):
    for name in names.split(","):
        left, right = np.load(f"{one}-{name}.npz"), np.load(f"{other}-{name}.npz")
        assert set(left.files) == set(right.files)
        for path in left.files:
            np.testing.assert_allclose(left[path], right[path], rtol=1e-12, atol=1e-12, err_msg=path)


@pytest.mark.parametrize("names", ("dense", pytest.param("images", marks=pytest.mark.slow)))
def test_weights_split_over_four_devices(alone, tmp_path, names):
    finish(start(tmp_path / "four", names, "data:4", "fsdp", devices=4))
    same(alone(names), tmp_path / "four", names)


@pytest.mark.slow
@pytest.mark.parametrize("names", ("dense", "images"))
def test_two_processes_of_two_devices(alone, tmp_path, names):
    with socket.create_server(("", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    finish(*(start(tmp_path / "pair", names, devices=2, coordinator=(address, 2, process)) for process in range(2)))
    same(alone(names), tmp_path / "pair", names)


@pytest.mark.slow
@pytest.mark.parametrize("names", ("dense", "images"))
def test_weights_on_each_of_eight_devices(alone, tmp_path, names):
    finish(start(tmp_path / "eight", names, devices=8))
    same(alone(names), tmp_path / "eight", names)


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", ("", "fsdp"))
def test_networks_together_and_dropped_blocks_on_four_devices(alone, tmp_path, fsdp):
    finish(start(tmp_path / "four", MORE, "data:4", fsdp, devices=4))
    same(alone(MORE), tmp_path / "four", MORE)


@pytest.mark.parametrize(
    ("text", "says"),
    (("eight", "--mesh=eight: must be data:N"), ("data:0", "must be data:N"), ("data:3", "--mesh=data:3: there are 1")),
)
def test_meshes_that_cannot_be(text, says):
    with pytest.raises(UserError, match=says):
        sharding.build(text, False, 64)


@pytest.mark.parametrize(("batch_size", "devices"), ((100, 4), (64, 8), (12, 4), (35, 1)))
def test_on_a_tpu_a_batch_is_split_over_a_part_of_the_slice_that_can_work_alone(monkeypatch, batch_size, devices):
    chips = [types.SimpleNamespace(process_index=0, id=at) for at in range(8)]
    monkeypatch.setattr(sharding, "Mesh", lambda chosen, *_, **__: chosen)
    for name, value in {"devices": chips, "device_count": 8, "default_backend": "tpu"}.items():
        monkeypatch.setattr(sharding.jax, name, lambda value=value: value)
    layout = sharding.build("", False, batch_size)
    assert (len(layout.mesh) if layout else 1) == devices
    with pytest.raises(UserError, match="--mesh=data:5: must divide the 8 chips of the slice"):
        sharding.build("data:5", False, 100)


def test_one_device_needs_no_layout():
    assert sharding.build("", False, 64) is None


def test_the_rows_that_a_process_brings_stand_together():
    processes = [0, 0, 1, 1, 1, 1, 0, 2, 3, 3, 3, 3, 2, 2, 2, 0]  # of 16 chips along the links of a slice
    chips = [types.SimpleNamespace(process_index=process, id=at) for at, process in enumerate(processes)]
    assert [chip.process_index for chip in sharding.in_order(chips)] == 4 * [0] + 4 * [1] + 4 * [2] + 4 * [3]
