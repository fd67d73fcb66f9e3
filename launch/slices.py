"""One slice from the asking to the deletion, and the experiment on it: what `launch.tpu --execute` does."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

from launch import gcloud
from launch.gcloud import Config
from resjax.system import interrupts
from resjax.system.errors import Failure, Stopped, UserError

SILENCES = 5  # times that a worker of a slice that is there does not answer, until it counts as lost
DELETIONS = 10  # tries: a slice that is just being made cannot be deleted yet


def execute(config: Config):
    """Carries out the steps of `launch.tpu`, those from copying to the answers as often as it takes.

    Raises:
      UserError: a name that is taken, a program that is missing, flags that the experiment refused.
      Failure: no slice, too many preemptions, an experiment that failed, a work directory that could not be fetched, a
        slice that could not be deleted.
      Stopped: SIGINT, SIGTERM or SIGHUP arrived, and the slice is deleted.
    """
    if not shutil.which("gcloud"):
        raise UserError("gcloud is not installed: see launch/README.md")
    with interrupts.graceful_shutdown() as stop:
        stop.deferred = True  # till the slice is deleted
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # a terminal that is closed; nohup would ignore it
            signal.signal(signal.SIGHUP, lambda number, frame: setattr(stop, "signal", number))
        _refuse_taken(config, stop)
        for step in (gcloud.folder, gcloud.archive):
            if _call(step(config), stop)[0]:
                raise Failure(f"{shlex.join(step(config))} failed")
        try:
            _attempts(config, stop)
        finally:  # nothing stops this part: `stop` is not looked at
            _say(f"giving {config.name} back; Ctrl-C does not stop this")
            here = not config.bucket and _state(config)[0] == "ACTIVE" and not _call(gcloud.fetch(config))[0]
            _delete(config)
            where = config.remote if config.bucket else config.local if here else "none was fetched"
            _say(f"{config.name} is deleted; work directory: {where}")
        if config.bucket and _call(gcloud.fetch(config), stop)[0]:
            raise Failure(f"{config.remote} could not be fetched: it is still there")
        if not config.bucket and not here:
            raise Failure("the work directory could not be fetched and is lost with the slice")
    _say(f"results: {config.local}")


def _refuse_taken(config: Config, stop: interrupts.Stop):
    state, _ = _state(config, stop)
    if state == "UNKNOWN":
        raise Failure("gcloud cannot list queued resources: see what it says above")
    if state:
        raise UserError(
            f"--name={config.name}: there is one, {state}: take another name, or delete it: "
            + shlex.join(gcloud.delete(config))
        )
    if not config.bucket and config.local.is_dir() and any(config.local.iterdir()):
        raise UserError(f"--name={config.name}: {config.local} holds results already: take another name")


def _attempts(config: Config, stop: interrupts.Stop):
    """Until the experiment is done: a slice, the project on it, the experiment."""
    for attempt in range(1 + config.tries):
        if attempt:
            _say(f"{config.name} was preempted or lost a worker: start {attempt + 1}")
            _pause(config, stop)
        _acquire(config, stop)
        steps = (gcloud.copy, gcloud.install, gcloud.start)
        if all(_call(step(config), stop)[0] == 0 for step in steps) and _watch(config, stop):
            return
    raise Failure(f"{config.name}: started {1 + config.tries} times (--tries={config.tries}) and never done")


def _acquire(config: Config, stop: interrupts.Stop):
    """Waits until the slice is there, and asks for it where nobody has, or where it was taken away."""
    before = None
    while (found := _state(config, stop))[0] != "ACTIVE":
        state, reason = found
        if found != before:
            _say(f"{config.name}: {state or 'asking for it'}")
        if state == "FAILED":
            raise Failure(f"{config.name} is FAILED: {reason}")
        if state == "SUSPENDED":
            _delete(config)
        if state == "" and _call(gcloud.create(config))[0]:  # not stopped half-way: nobody would know what it made
            raise Failure(f"{config.name} cannot be had: see what gcloud says above")
        before = found
        _pause(config, stop)
    _say(f"{config.name}: ACTIVE")


def _watch(config: Config, stop: interrupts.Stop) -> bool:
    """Whether the experiment was done, in the end; False if a worker, or the whole slice, was lost.

    Raises:
      UserError, Failure: the experiment itself gave up.
    """
    answers = {"running"}
    while answers == {"running"}:  # what has ended is the connection, not the experiment
        _call(gcloud.follow(config), stop)
        answers = _answers(config, stop)
    final = {"2"} if config.several_hosts else {"1", "2"}  # of several, each leaves with 1 when another is gone
    if answers <= {"0", "1", "2"} and answers & final:
        failed = UserError if "2" in answers else Failure
        raise failed(f"the experiment failed with exit code {max(answers)}: see its last lines above")
    return answers == {"0"}


def _answers(config: Config, stop: interrupts.Stop) -> set[str]:
    """What the workers say of the experiment. Asked again while it is the network that is gone, not they."""
    silent = 0
    while True:
        code, out = _call(gcloud.answers(config), stop, show=False)
        answers = set(re.findall(r"^worker: (\w+)$", out, re.MULTILINE))
        if code == 0:
            return answers
        state, _ = _state(config, stop)
        silent += state != "UNKNOWN"
        if silent == SILENCES or state not in ("ACTIVE", "UNKNOWN"):
            return answers | {"lost"}
        _say("the workers do not answer; the experiment goes on without that")
        _pause(config, stop)


def _state(config: Config, stop: interrupts.Stop = interrupts.NEVER) -> tuple[str, str]:
    """The state and the reason for it; the state is empty if there is no slice, UNKNOWN if gcloud failed."""
    code, out = _call(gcloud.state(config), stop, show=False)
    state, _, reason = out.strip().partition("\t")
    return ("UNKNOWN", "") if code else (state, reason)


def _delete(config: Config):
    for _ in range(DELETIONS):
        if _state(config)[0] == "" or _call(gcloud.delete(config))[0] == 0:
            return
        time.sleep(config.poll)
    raise Failure(f"{config.name} is not deleted and costs money until it is: {shlex.join(gcloud.delete(config))}")


def _call(command: list[str], stop: interrupts.Stop = interrupts.NEVER, show: bool = True) -> tuple[int, str]:
    """Runs a command to its end: its exit code, and what it printed unless that was shown.

    It has a session of its own, out of reach of the terminal's Ctrl-C: that is for this program to decide about.

    Raises:
      Stopped: `stop` was set; the command is killed.
    """
    if show:
        _say(f"+ {shlex.join(command)}")
    out = None if show else subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, text=True, start_new_session=True) as process:
        while True:
            try:
                printed, _ = process.communicate(timeout=0.1)
                return process.returncode, printed or ""
            except subprocess.TimeoutExpired:
                if stop.signal:
                    os.killpg(process.pid, signal.SIGKILL)
                    _check(stop)


def _pause(config: Config, stop: interrupts.Stop):
    end = time.monotonic() + config.poll
    while (left := end - time.monotonic()) > 0:
        _check(stop)
        time.sleep(min(0.1, left))


def _check(stop: interrupts.Stop):
    if stop.signal:
        raise Stopped(f"stopped by {signal.Signals(stop.signal).name}; the slice is deleted", stop.signal)


def _say(line: str):
    try:
        print(line, flush=True)
    except OSError:  # nobody listens any more, as after Ctrl-C on `… | tee log`: that keeps no slice from being deleted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
