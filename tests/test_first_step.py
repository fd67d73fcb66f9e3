"""The first step of `torch.compile` has a limit, and no number where it fails. Each starts a process, of 15 seconds."""

import os
import select
import subprocess
import time

import pytest

from benchmarks.others import first_step

pytestmark = pytest.mark.slow


def endless(pipe, how):
    """A first step that ends as late as what it starts, which says that it is there."""
    with open(pipe, "w") as file:
        subprocess.Popen(["sh", "-c", "echo; exec sleep 1000"], stdout=file)
    time.sleep(1000)


def failing(how):
    """A first step that fails."""
    raise ValueError


def test_one_that_takes_too_long_is_stopped_with_what_it_started(tmp_path):
    pytest.importorskip("torch")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert first_step.seconds(10, endless, tmp_path / "pipe") is None
    assert os.read(reader, 1) == b"\n"
    assert select.select([reader], [], [], 60)[0] and os.read(reader, 1) == b""  # nobody holds its other end


def test_one_that_fails_is_no_number():
    pytest.importorskip("torch")
    with pytest.raises(ChildProcessError, match=r"torch\.compile"):
        first_step.seconds(100, failing)
