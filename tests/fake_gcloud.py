"""Plays gcloud and the machines behind it, one folder a machine; `python3 -m uv` and the experiment are played, too.

The folder $FAKE_GCLOUD has scenario.json, and what happened: record.jsonl (every command line), ran.jsonl (every
experiment: worker and command line), workers/N (the machines' home folders), bucket/. In a scenario are

    workers   how many machines the slice has
    states    the answers of `list` once the slice is asked for; the last one stays
    follow    what happens while worker 0 is watched, for each time; the last one stays: ok, preempted, lost (worker 1
              is gone until something is copied to it), dropped (the connection), outage (nothing of the network,
              four times), or wait (until somebody ends it)
    codes     the exit codes of the experiment, for each start
    delete    the exit codes of `delete`, for each time; then 0
    seconds   how long `delete` takes
"""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(os.environ["FAKE_GCLOUD"])
PR_SET_CHILD_SUBREAPER = 36


def main(words):
    append("record", ["gcloud", *words])
    if "list" in words or "ssh" in words:
        outage = HERE / "outage"
        if outage.exists() and (left := int(outage.read_text())):
            outage.write_text(str(left - 1))
            return 255
    scenario = json.loads((HERE / "scenario.json").read_text())
    names = [word for word in words if not word.startswith("--")]
    flags = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--") and "-flag" not in word)
    match names:
        case "compute", "tpus", "queued-resources", "create", _:
            (HERE / "states").write_text(json.dumps(scenario["states"]))
            repair(scenario["workers"])
        case "compute", "tpus", "queued-resources", "list":
            print(state())
        case "compute", "tpus", "queued-resources", "delete", _:
            time.sleep(scenario.get("seconds", 0))
            codes = scenario.get("delete", [])
            if code := (codes[at] if (at := count("deletions")) < len(codes) else 0):
                return code
            take_away("")
        case "compute", "tpus", "tpu-vm", "scp", source, target:
            return scp(source, target, scenario["workers"])
        case "compute", "tpus", "tpu-vm", "ssh", _ if flags["worker"] == "0":
            events = scenario["follow"]
            return watch(events[min(count("follows"), len(events) - 1)], flags["command"])
        case "compute", "tpus", "tpu-vm", "ssh", _:
            codes = [ssh(home, flags["command"]) for home in machines()]
            return 255 if len(codes) < scenario["workers"] else max(codes)
        case "storage", "rsync", source, target:
            shutil.copytree(HERE / "bucket" / source.removeprefix("gs://"), target, dirs_exist_ok=True)
        case _:
            raise AssertionError(words)
    return 0


def append(name, line):
    with open(HERE / f"{name}.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")


def count(name):
    """How often this was called before."""
    path = HERE / name
    before = int(path.read_text()) if path.exists() else 0
    path.write_text(str(before + 1))
    return before


def state():
    """The next of the slice's states; the last one stays."""
    path = HERE / "states"
    first, *rest = json.loads(path.read_text()) if path.exists() else [""]
    path.write_text(json.dumps(rest or [first]))
    return first


def machines():
    return sorted((HERE / "workers").glob("*"))


def repair(workers):
    for worker in range(workers):
        (HERE / "workers" / str(worker)).mkdir(parents=True, exist_ok=True)


def scp(source, target, workers):
    if not machines():
        return 255
    if ":" in target:
        repair(workers)
        for home in machines():
            shutil.copy(source, home / target.partition(":")[2])
    else:
        source = machines()[0] / source.partition(":")[2]
        shutil.copytree(source, pathlib.Path(target) / source.name, dirs_exist_ok=True)
    return 0


def ssh(home, line):
    """Runs a shell's line on a machine, and what it leaves behind has a parent that buries it, as a machine's init."""
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        return os.read(told, 1)[0]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    code = subprocess.run(["bash", "-c", line], cwd=home, env=os.environ | {"HOME": str(home)}, check=False).returncode
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):  # nobody waits for the end of these
        os.dup2(nowhere, number)
    os.write(tell, bytes([code]))
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    os._exit(0)


def watch(event, line):
    if not machines():
        return 255
    home = machines()[0]
    if event == "ok":
        return ssh(home, line)
    while event in ("lost", "preempted") and not all((home / "resjax/run.log").read_text() for home in machines()):
        time.sleep(0.02)  # until the experiment is under way everywhere
    if event == "lost":
        die(machines()[1])
        return ssh(home, line)
    if event == "outage":
        (HERE / "outage").write_text("4")
    if event == "preempted":
        take_away("SUSPENDED")
    if event == "wait":
        (HERE / "watching").touch()
        time.sleep(60)
    return 255


def take_away(state_after):
    for home in machines():
        die(home)
    (HERE / "states").write_text(json.dumps([state_after]))


def die(home):
    pid = home / "resjax/pid"
    if pid.exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(pid.read_text()), signal.SIGKILL)
    shutil.rmtree(home)


def machine_python(words):
    """`python3 -m pip`, `python3 -m uv`, and the experiment."""
    if words[:3] == ["-m", "uv", "venv"]:
        python = pathlib.Path(".venv/bin/python")
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {__file__} machine "$@"\n')
        python.chmod(0o755)
    if words[1] in ("pip", "uv"):
        return 0
    worker = os.path.basename(os.environ["HOME"])
    started = count(f"started-{worker}")
    append("ran", [worker, *words])
    code = json.loads((HERE / "scenario.json").read_text())["codes"][started]
    workdir = next(word.removeprefix("--workdir=") for word in words if word.startswith("--workdir="))
    print(f"the experiment says {code}", flush=True)
    results = HERE / "bucket" / workdir.removeprefix("gs://") if "gs://" in workdir else pathlib.Path(workdir)
    results.mkdir(parents=True, exist_ok=True)
    (results / "results.csv").write_text("depth\n20\n")
    if code is None:  # never ends by itself
        time.sleep(60)
    return code


if __name__ == "__main__":
    sys.exit(machine_python(sys.argv[2:]) if sys.argv[1] == "machine" else main(sys.argv[1:]))
