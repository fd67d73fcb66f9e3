"""One slice from the asking to the deletion, and the experiment on it."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from launch import gcloud
from launch.gcloud import Config
from resjax.system import interrupts
from resjax.system.errors import Failure, Stopped, UserError

BREATH = 0.05  # seconds between looks at what runs
TRIES = 4  # starts of an experiment that loses workers; silences of a worker, until it counts as lost
DELETIONS = 10  # tries: a slice that is just being made cannot be deleted yet
MISSING = {"", "FAILED", "SUSPENDING", "SUSPENDED", "DELETING"}  # states of a slice that does not come, or come back


class Slice:
    """A slice that is asked for, used and given back; `stop` interrupts whatever is done with it."""

    def __init__(self, config: Config, stop: interrupts.Stop):
        self.config = config
        self.stop = stop

    def acquire(self) -> None:
        """Asks for the slice and waits until it is there; raises Failure if it will not come."""
        self.must(gcloud.create)
        state = ""
        while state != "ACTIVE":
            before = state
            state, reason = self.state()
            if state in MISSING:
                raise Failure(f"{self.config.name} is {state or 'gone'}: {reason}")
            if state != before:
                say(f"{self.config.name}: {state}")
            self.pause()

    def run(self) -> None:
        """Runs the experiment, again if a worker was lost; raises what it gave up with, or Failure."""
        name = self.config.name
        where = self.config.remote if self.config.bucket else "the beginning"
        for _ in range(TRIES):
            if all(self.call(step)[0] == 0 for step in (gcloud.copy, gcloud.install, gcloud.start)) and self.done():
                return
            if self.state()[0] in MISSING:
                raise Failure(f"{name} was preempted; the same command goes on from {where}")
            say(f"{name} lost a worker: the experiment is started again")
            self.pause()
        raise Failure(f"{name}: started {TRIES} times and never done")

    def done(self) -> bool:
        """Watches the experiment to its end; False if a worker, or the slice, was lost."""
        silent = 0
        while silent < TRIES:
            self.call(gcloud.follow)  # what ends here may be the connection, not the experiment
            code, out = self.call(gcloud.answers, show=False)
            answers = set(re.findall(r"^worker: (\w+)$", out, re.MULTILINE))
            if code == 0 and answers != {"running"}:
                break
            state, _ = self.state()
            if state in MISSING:
                return False
            silent = silent + 1 if code and state != "UNKNOWN" else 0  # UNKNOWN: it is the network here that is gone
            self.pause()
        final = {"2"} if self.config.several_hosts else {"1", "2"}  # of several, each leaves with 1 if another is gone
        if answers <= {"0", "1", "2"} and answers & final:
            failed = UserError if "2" in answers else Failure
            raise failed(f"the experiment failed with exit code {max(answers)}: see its last lines above")
        return answers == {"0"}

    def give_back(self) -> bool:
        """Deletes the slice; returns whether what only it had is fetched. Raises Failure if it is still there."""
        config = self.config
        say(f"giving {config.name} back; Ctrl-C does not stop this")
        fetched = not config.bucket and self.state()[0] == "ACTIVE" and self.call(gcloud.fetch)[0] == 0
        for _ in range(DELETIONS):
            if self.call(gcloud.delete)[0] == 0 or self.state()[0] == "":
                say(f"{config.name} is deleted")
                return fetched
            self.pause()
        raise Failure(f"{config.name} is not deleted and costs money until it is: {shlex.join(gcloud.delete(config))}")

    def state(self) -> tuple[str, str]:
        """The state and the reason for it; the state is empty if there is no slice, UNKNOWN if gcloud failed."""
        code, out = self.call(gcloud.state, show=False)
        state, _, reason = out.strip().partition("\t")
        return ("UNKNOWN", "") if code else (state, reason)

    def must(self, step: Callable[[Config], list[str]]) -> None:
        """Runs a step; raises Failure if it fails."""
        if self.call(step)[0]:
            raise Failure(f"{shlex.join(step(self.config))} failed: see above")

    def call(self, step: Callable[[Config], list[str]], show: bool = True) -> tuple[int, str]:
        """Runs a step where no Ctrl-C reaches it; its exit code, and what it printed unless that was shown."""
        command = step(self.config)
        if show:
            say(f"+ {shlex.join(command)}")
        out = None if show else subprocess.PIPE
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, text=True, start_new_session=True)
        with child:
            while child.poll() is None:
                time.sleep(BREATH)
                if self.stop.signal and step is not gcloud.create:  # which half-way has made nobody knows what
                    os.killpg(child.pid, signal.SIGKILL)
                    self.check()
            return child.returncode, "" if show else child.stdout.read()

    def pause(self) -> None:
        """Waits until it is time to look again."""
        for _ in range(round(self.config.poll / BREATH) or 1):
            self.check()
            time.sleep(BREATH)

    def check(self) -> None:
        """Raises Stopped once a signal has arrived."""
        if number := self.stop.signal:
            raise Stopped(f"stopped by {signal.Signals(number).name}; the slice is deleted", number)


def say(line: str) -> None:
    """Prints a line, if anybody listens."""
    try:
        print(line, flush=True)
    except OSError:  # as after Ctrl-C on `… | tee log`: that keeps no slice from being deleted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
