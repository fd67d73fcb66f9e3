"""What `throughput` measures against others' ways to run a deep dense network; width 64, batch 64.

Those in JAX take the same training step of the same trial: batches, loss, optimiser, and remat of every block.
"""

import functools
from collections.abc import Callable

from benchmarks.others import equinox_scan, first_step, linen, pytorch
from benchmarks.timing import Step, compare, milliseconds, ratio
from resjax.lab.trial import Trial

WIDTH = 64
BATCH = 64
LIMIT = 300  # seconds after which the first step of `torch.compile` is stopped


def trial(depth: int) -> Trial:
    """The network measured here."""
    return Trial(depth=depth, width=WIDTH, batch_size=BATCH)


def against_torch_compile(turns: int, steps: int):
    """The first step and the others at depth 20 and 100, against `torch.compile`."""
    for depth in (20, 100):
        step = Step(trial(depth))
        yield time_to_first_step(f"depth {depth}", 0.1, step.first_seconds, pytorch.dense_step, depth, WIDTH, BATCH)
        count = 1000 * steps // depth
        theirs = functools.partial(
            milliseconds, pytorch.dense_step(depth, WIDTH, BATCH, pytorch.How(compiled=True)), count
        )
        ours = functools.partial(step.stepper(), count)
        yield compare(f"step time, depth {depth}, against torch.compile", "ms", 1.0, turns, ours, theirs)


def first_of_1000_against_torch_compile(turns: int, steps: int):
    """The first step at depth 1000, against `torch.compile` as far as it gets within the limit."""
    yield time_to_first_step("depth 1000", 0.1, Step(trial(1000)).first_seconds, pytorch.dense_step, 1000, WIDTH, BATCH)


def against_equinox(turns: int, steps: int):
    """Compiling, steps and memory at depth 100 and 1000, against a scan over Equinox' modules, as haliax has it."""
    for depth in (100, 1000):
        yield from against("Equinox' scan", depth, equinox_scan.dense(depth, WIDTH), turns, steps)


def against_nn_scan(turns: int, steps: int):
    """Compiling, steps and memory at depth 1000, against Flax's own scan."""
    scanned = linen.Linen(linen.Dense(depth=1000, width=WIDTH, scanned=True))
    yield from against("Flax's nn.scan", 1000, scanned, turns, steps)


def against(name: str, depth: int, network, turns: int, steps: int):
    """A training step against that of the same network, written in another way."""
    ours = Step(trial(depth))
    theirs = Step(trial(depth), network)
    what = f"depth {depth}, against {name}"
    yield compare(f"trace and compile, {what}", "s", 1.0, turns, ours.compile_seconds, theirs.compile_seconds)
    pair = (functools.partial(step.stepper(), 1000 * steps // depth) for step in (ours, theirs))
    yield compare(f"step time, {what}", "ms", 1.0, turns, *pair)
    yield ratio(f"temporary memory, {what}", "MiB", 1.0, ours.temporary(), theirs.temporary())


def time_to_first_step(what: str, most: float, ours: Callable[[], float], step: Callable, *sizes: int) -> dict:
    """A row: seconds to the first step against `torch.compile`, once. The text says so where that was stopped."""
    theirs = first_step.seconds(LIMIT, step, *sizes)
    stopped = "" if theirs else f", at least {LIMIT} s"
    what = f"time to the first step, {what}, against torch.compile{stopped}"
    return ratio(what, "s", most, ours(), theirs or LIMIT)


MEASURES = (against_torch_compile, against_equinox, against_nn_scan, first_of_1000_against_torch_compile)
