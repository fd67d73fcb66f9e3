"""One process at a time in a work directory."""

import re
import signal
import socket
import subprocess
import sys

import pytest
from commands import ROOT, run

from resjax.system import lock

HOLDER = """
import pathlib, sys
from resjax.system import lock
held = lock.take(pathlib.Path(sys.argv[1]), "it")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has the lock."""
    command = [sys.executable, "-c", HOLDER, tmp_path / "lock"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_command_says_who_is_there_since_when_and_touches_nothing(holder, tmp_path):
    code, _, err = run("depth_scaling", f"--workdir={tmp_path}")
    who = f"in use by process {holder.pid} on {socket.gethostname()} since "
    assert code == 1 and re.fullmatch(
        rf"depth_scaling: --workdir={tmp_path} is {re.escape(who)}\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d: .*\n", err
    )
    assert [path.name for path in tmp_path.iterdir()] == ["lock"] and holder.poll() is None


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGTERM))
def test_a_lock_ends_with_its_process_however_that_went(holder, tmp_path, number):
    with pytest.raises(lock.Held):
        lock.take(tmp_path / "lock", "it")
    holder.send_signal(number)
    holder.wait()
    lock.take(tmp_path / "lock", "it").close()


@pytest.mark.parametrize("content", (b"", b"\xff\xfe\0", b"nobody"))
def test_a_lock_whose_text_is_damaged_still_holds(holder, tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    with pytest.raises(lock.Held, match="it is in use by "):
        lock.take(tmp_path / "lock", "it")
