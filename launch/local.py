"""A sweep on one machine: N workers that share its cores and GPUs."""

import contextlib
import os
import subprocess
import time

from launch import progress, tethered, worker
from launch.directory import SweepDirectory
from resjax.system import interrupts
from resjax.system.errors import Failure, UserError

POLL = 0.5  # seconds between looks at the workers
STOP = {UserError.exit_code, *worker.INTERRUPTED}  # exit codes of one worker, upon which all are stopped
MEMORY = 0.75  # of a GPU's memory, which a process of JAX takes for itself unless told otherwise


def run(sweep: SweepDirectory, workers: int, gpus: int, tries: int):
    """Runs all units, and shows how far they are.

    Args:
      sweep: where they are.
      workers: processes, of which each runs one unit at a time.
      gpus: GPUs to share out; 0: leave that to JAX.
      tries: times that a unit may die before it counts as failed.

    Raises:
      UserError: the experiment says that its flags are wrong. Failure: units have failed. Stopped: by a signal.
    """
    sweep.forget_failures(sweep.units)
    crew: dict[int, subprocess.Popen] = {}
    with interrupts.graceful_shutdown() as stop, progress.live(sweep) as refresh:
        stop.deferred = True  # for the workers
        try:
            places = range(min(workers, len(sweep.left(sweep.units))))
            while places and not stop.signal:
                for place in places:  # one that was killed is replaced; those that end by themselves are not
                    if place not in crew or (crew[place].poll() or 0) < 0:
                        crew[place] = _start(sweep, place, workers, gpus, tries)
                refresh()
                codes = [process.poll() for process in crew.values()]
                if None not in codes or STOP & set(codes):
                    break
                time.sleep(POLL)
        finally:
            for process in crew.values():
                process.terminate()
            for process in crew.values():
                process.wait()
            refresh()
    stop.check()
    sweep.check(sweep.units)
    if left := sweep.left(sweep.units):
        raise Failure(f"the workers left with {len(left)} units to do: see {sweep.path}/worker-*.log")


def _start(sweep: SweepDirectory, place: int, workers: int, gpus: int, tries: int) -> subprocess.Popen:
    command = ["launch.worker", f"--workdir={sweep.path}", f"--tries={tries}"]
    with open(sweep.path / f"worker-{place}.log", "a") as log:
        process = subprocess.Popen(
            tethered.command(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | gpu_environment(place, workers, gpus),
            start_new_session=True,  # a terminal's Ctrl-C reaches this process, which passes it on
        )
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.sched_setaffinity(process.pid, share(sorted(os.sched_getaffinity(0)), place, workers))
    return process


def share(items: list, place: int, workers: int) -> list:
    """What one worker gets of the items: its part of them or, if there are more workers, one that it shares."""
    if workers > len(items):
        return [items[place % len(items)]]
    return items[place * len(items) // workers : (place + 1) * len(items) // workers]


def gpu_environment(place: int, workers: int, gpus: int) -> dict[str, str]:
    """The environment in which JAX uses a worker's GPUs only, and of one that it shares its part of the memory."""
    if not gpus:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",")[:gpus] if visible else list(map(str, range(gpus)))
    chosen = {"CUDA_VISIBLE_DEVICES": ",".join(share(devices, place, workers))}
    sharing = -(-workers // len(devices))
    return chosen | ({"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{MEMORY / sharing:.2f}"} if sharing > 1 else {})
