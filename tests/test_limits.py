"""The limits of the tests themselves: a runaway is ended by its name, and workers fit into the memory."""

import os
import resource
import subprocess
import sys

import pytest
from commands import ROOT
from conftest import GIB, TOTAL, WORKER, workers

from resjax.system import memory

RUNAWAY = """
import jax.numpy as jnp
import numpy as np

def test_one():
    pass

def test_the_runaway():
    kept = [np.zeros(2**27) for _ in range(64)]  # 64 GiB, one after the other
"""


@pytest.mark.parametrize(
    ("cores", "gibibytes", "expected"), ((2, 24, 2), (16, 32, 6), (16, 16, 4), (64, 512, 6), (4, 2, 1))
)
def test_workers_are_as_many_as_cores_and_memory_allow(cores, gibibytes, expected):
    assert workers(cores, gibibytes * GIB) == expected and expected * WORKER <= TOTAL


def test_a_test_that_fills_the_memory_is_ended_by_its_name(tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "test_runaway.py").write_text(RUNAWAY)
    command = [sys.executable, "-m", "pytest", "-n1", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert "test_the_runaway" in done.stdout and "1 failed, 1 passed" in done.stdout


def test_what_a_process_may_have_is_what_there_is():
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    assert 0 < memory.there() <= soft <= 8 * GIB
