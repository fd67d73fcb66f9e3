"""What `operations` measures: a profile of a step here and in PyTorch, and the rates of the machine."""

import collections
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import hlo
from benchmarks.images import trial
from benchmarks.kinds import KINDS, kind, torch_kind
from benchmarks.others import pytorch
from benchmarks.timing import Step, milliseconds

LARGE = 2048  # rows; columns of the product, and a quarter of those of the copy
TURNS = 5
MODULE = "jit_train_step"


def training(depth: int, batch_size: int) -> Step:
    """The step that is looked at; raises UserError for a depth that a ResNet cannot have."""
    return Step(trial(depth, batch_size=batch_size), images=(batch_size, 32, 32, 3))


def rows(step: Step, depth: int, batch_size: int, steps: int) -> Iterator[dict[str, Any]]:
    """The rows of the table, a kind each: of the step, and of PyTorch's of the same sizes."""
    compiled = step.lower().compile()
    program = hlo.operations(compiled.as_text())
    taken = collections.Counter[str]()
    flops = collections.Counter[str]()
    size = collections.Counter[str]()
    for name, seconds in profile(lambda state: compiled(state, step.source), step.start(), steps):
        operation = program[name]
        taken[kind(operation)] += 1e3 * seconds / steps
        flops[kind(operation)] += operation.flops / 1e9 / steps
        size[kind(operation)] += operation.bytes / 1e9 / steps
    theirs = torch_milliseconds(depth, batch_size, steps)
    product, copy = rates()
    for each in KINDS:
        yield {
            "kind": each,
            "milliseconds": taken[each],
            "share": taken[each] / taken.total(),
            "gigaflops": flops[each],
            "gigabytes": size[each],
            "flop_share": flops[each] / taken[each] * 1e3 / product,
            "byte_share": size[each] / taken[each] * 1e3 / copy,
            "torch_milliseconds": theirs.get(each),
        }


def profile(step: Callable, state: Any, steps: int) -> list[tuple[str, float]]:
    """Every operation that ran in so many steps, and the seconds until the next one began."""
    state, *_ = jax.block_until_ready(step(state))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(steps):
                state, *_ = jax.block_until_ready(step(state))
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        events = _events(jax.profiler.ProfileData.from_file(str(path)))
    return extents(events)


def _events(data: Any) -> list[tuple[str, float, float]]:
    """Name, begin and end in seconds of every operation of the step."""
    return [
        (event.name, event.start_ns / 1e9, event.end_ns / 1e9)
        for plane in data.planes
        for line in plane.lines
        for event in line.events
        if dict(event.stats).get("hlo_module") == MODULE
    ]


def extents(events: Iterable[tuple[str, float, float]]) -> list[tuple[str, float]]:
    """Of each event, of all threads together, the time until the next one begins; of the last its own."""
    inorder = sorted(events, key=lambda event: event[1])
    begins = [begin for _, begin, _ in inorder[1:]] + [inorder[-1][2]]
    return [(name, then - begin) for (name, begin, _), then in zip(inorder, begins, strict=True)]


def rates() -> tuple[float, float]:
    """10⁹ FLOPs a second of a large product, and 10⁹ bytes a second of a large copy, reads and writes."""
    x = jnp.ones((LARGE, LARGE))
    y = jnp.ones((LARGE, 4 * LARGE))
    product = best(jax.jit(jnp.dot), x, x)
    copy = best(jax.jit(jnp.negative), y)
    return 2 * LARGE**3 / product / 1e6, 2 * y.nbytes / copy / 1e6


def best(function: Callable, *arguments: jax.Array) -> float:
    """The least milliseconds of some calls."""

    def call():
        function(*arguments).block_until_ready()

    call()
    return min(milliseconds(call, 1) for _ in range(TURNS))


def torch_milliseconds(depth: int, batch_size: int, steps: int) -> dict[str, float]:
    """PyTorch's milliseconds a step by kind; empty where it is not installed."""
    try:
        step = pytorch.resnet_step(depth, batch_size)
        from torch import profiler  # an extra
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed (extra [peers]): not compared")
        return {}
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as seen:
        for _ in range(steps):
            step()
    found = collections.Counter[str]()
    for event in seen.events():
        found[torch_kind(event.name, _callers(event))] += event.self_cpu_time_total / 1e3 / steps
    return dict(found)


def _callers(event: Any) -> Iterator[str]:
    """The names of all that an operation of PyTorch was called by."""
    while event := event.cpu_parent:
        yield event.name
