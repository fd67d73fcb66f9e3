"""An experiment without a network: a point is a number, and what becomes of it is a flag.

    python -m fake_experiment --depths=1,2 --connections=plain,residual

Each time that a point is made a line goes to the file `--diary`.
"""

import dataclasses
import json
import os
import pathlib
import signal
import sys
import time

from resjax.lab import flags
from resjax.lab.config import Options, Running, option, relevant
from resjax.system.errors import Failure, Stopped, UserError
from resjax.system.interrupts import graceful_shutdown


@dataclasses.dataclass(frozen=True)
class Config(Running, Options):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((1, 2, 3), "numbers")
    connections: tuple[str, ...] = option(("plain",), "names")
    factor: float = option(1.0, "what the numbers are multiplied by")
    seconds: float = option(0.0, "that a point takes")
    bad: str = option("", "a depth and what becomes of it: 2:refused, 2:failed, 2:killed", changes_results=False)
    diary: str = option("", "a file", changes_results=False)


def run(config: Config):
    """Makes the points that are not made yet, then writes the table."""
    depth, _, fate = config.bad.partition(":")
    if fate == "refused" and depth in map(str, config.depths):
        raise UserError(f"depth {depth}: is refused")
    work = pathlib.Path(config.workdir)
    (work / "points").mkdir(parents=True, exist_ok=True)
    asked = {"experiment": "fake"} | relevant(config)
    if (work / "config.json").exists() and json.loads((work / "config.json").read_text()) != asked:
        raise UserError(f"--workdir={work} holds another configuration")
    (work / "config.json").write_text(json.dumps(asked))
    rows = []
    with graceful_shutdown() as stop:
        for connection in config.connections:
            for number in config.depths:
                done = work / "points" / f"{connection}-{number}-{config.factor}" / "done.json"
                if not done.exists():
                    make(config, done, fate if depth == str(number) else "", stop)
                rows.append(f"{connection},{number},{json.loads(done.read_text())}")
    (work / "results.csv").write_text("\n".join(["connection,depth,value", *rows, ""]))


def make(config: Config, done: pathlib.Path, fate: str, stop):
    """One point; the diary says who made it."""
    with open(config.diary, "a") as diary:
        diary.write(f"{done.parent.name} {os.getpid()}\n")
    end = time.monotonic() + config.seconds
    while time.monotonic() < end:
        if stop.signal:
            raise Stopped("stopped", stop.signal)
        time.sleep(0.01)
    if fate == "failed":
        print("on the way", file=sys.stderr)
        raise Failure("this one fails")
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    done.parent.mkdir()
    done.write_text(json.dumps(int(done.parent.name.split("-")[1]) * config.factor))


if __name__ == "__main__":
    flags.main(Config, run)
