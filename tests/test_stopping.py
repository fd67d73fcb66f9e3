"""SIGTERM and SIGINT where no training loop looks at them, in real processes."""

import os
import signal
import subprocess
import sys

import pytest
from commands import ROOT

PROGRAM = """
import contextlib, dataclasses, time
from resjax.lab import flags, options
from resjax.system import interrupts

@dataclasses.dataclass(frozen=True)
class Config(options.Options):
    what: str = options.option("", "what is done")

def run(config):
    stopped = time.monotonic() + 60
    with interrupts.graceful_shutdown() if config.what != "nothing" else contextlib.nullcontext() as stop:
        if config.what == "saves":
            stop.deferred = True
        print("ready", flush=True)
        while time.monotonic() < stopped:
            try:
                time.sleep(0.1)
            except BaseException:  # as a callback of the garbage collector does
                pass
            if config.what == "saves" and stop.signal:
                time.sleep(interrupts.GRACE + 2)  # it takes long, and is not cut off
                print("saved", flush=True)
                stop.check()
            if config.what == "waits" and stop.signal:
                stop.deferred = False
                time.sleep(60)

flags.main(Config, run)
"""


def stopped(tmp_path, what, number):
    """The exit code, stdout after `ready`, and stderr of a program that a signal stops."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py", f"--what={what}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment, **pipes)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("what", "number"),
    (
        ("nothing", signal.SIGTERM),
        pytest.param("nothing", signal.SIGINT, marks=pytest.mark.slow),
        ("measures", signal.SIGTERM),
        ("waits", signal.SIGINT),
    ),
)
def test_whoever_swallows_exceptions_cannot_keep_a_process_alive(tmp_path, what, number):
    code, _, err = stopped(tmp_path, what, number)
    assert code == 128 + number and err == f"stopped by {number.name}; the same command goes on from what is saved\n"


def test_a_save_that_takes_long_is_not_cut_off(tmp_path):
    code, out, err = stopped(tmp_path, "saves", signal.SIGTERM)
    assert (code, out) == (143, "saved\n")
    assert err == "program: stopped by SIGTERM; the same command goes on from here\n"
