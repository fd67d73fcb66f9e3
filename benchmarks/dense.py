"""What `throughput` measures of dense networks."""

import dataclasses
import functools
import time

import jax

from benchmarks.others import linen, pytorch
from benchmarks.timing import Step, compare, milliseconds, ratio
from resjax import models, nn
from resjax.cost import parameter_count
from resjax.lab.trial import Trial
from resjax.probes import backward, blocks, forward
from resjax.probes.singular_values import singular_values as values_of
from resjax.training.step import initial_state

TOGETHER = 25  # networks


def compile_by_depth(turns: int, steps: int):
    """Tracing, lowering and compiling one training step at depth 1000 against depth 20."""
    deep = Step(Trial(depth=1000))
    shallow = Step(Trial(depth=20))
    what = "trace and compile, depth 1000 against 20"
    yield compare(what, "s", 1.2, turns, deep.compile_seconds, shallow.compile_seconds)
    lines = [step.lower().as_text().count("\n") for step in (deep, shallow)]
    yield ratio("lines of the lowered program, depth 1000 against 20", "lines", 1.0, *lines)


def step_by_depth(turns: int, steps: int):
    """Step time a layer at depth 1000 against depth 100."""
    deep = Step(Trial(depth=1000)).stepper()
    shallow = Step(Trial(depth=100)).stepper()
    what = "step time a layer, depth 1000 against 100"
    yield compare(what, "ms", 1.2, turns, lambda: deep(steps) / 1000, lambda: shallow(10 * steps) / 100)


def against_unrolled(turns: int, steps: int):
    """The scan against a Python loop over the blocks, depth 64: initialise, compile, first step; then step."""
    scanned = Step(Trial(depth=64))
    unrolled = Step(Trial(depth=64), linen.Linen(linen.Dense(depth=64, width=64, scanned=False)))

    theirs = functools.partial(unrolled.first_seconds, _usual())
    what = "time to the first step, depth 64, scanned against unrolled"
    yield compare(what, "s", 0.2, min(turns, 3), scanned.first_seconds, theirs)
    ours, theirs = (functools.partial(step.stepper(), 10 * steps) for step in (scanned, unrolled))
    yield compare("step time, depth 64, scanned against unrolled", "ms", 1.1, turns, ours, theirs)


def _usual():
    """Initialisation with XLA's default options, as users of an unrolled network would compile it."""
    return jax.jit(initial_state, static_argnums=(0, 1))


def against_torch(turns: int, steps: int):
    """A training step at depth 1000 against eager PyTorch."""
    for width, most in ((64, 0.5), (128, 1.0)):
        trial = Trial(depth=1000, width=width, batch_size=width)
        theirs = functools.partial(milliseconds, pytorch.dense_step(trial.depth, width, trial.batch_size), steps)
        ours = functools.partial(Step(trial).stepper(), steps)
        what = f"step time, depth 1000, width {width}, batch {width}, against eager PyTorch"
        yield compare(what, "ms", most, turns, ours, theirs)


def memory(turns: int, steps: int):
    """Temporary memory of a step at depth 1000 with remat, against gradients + 1.3 × the blocks' inputs."""
    trial = Trial(depth=1000, remat="nothing_saveable")
    step = Step(trial)
    gradients = 4 * parameter_count(step.start().params)
    inputs = 4 * step.network.length * trial.batch_size * trial.width
    what = "temporary memory, depth 1000, against gradients + 1.3 × inputs"
    yield ratio(what, "MiB", 1.0, step.temporary(), (gradients + 1.3 * inputs) / 2**20)


def stochastic_depth(turns: int, steps: int):
    """A step that drops blocks, each for the whole batch, against one of the full network: depth 1000, width 256."""
    trial = Trial(depth=1000, width=256, batch_size=256)
    full = Step(trial).stepper()
    for last, most in ((0.5, 0.8), (0.2, 0.66)):
        dropping = Step(dataclasses.replace(trial, survival=f"linear(last={last})")).stepper()
        what = f"step time, depth 1000, width 256, stochastic depth (last block {last}) against none"
        yield compare(what, "ms", most, min(turns, 3), lambda d=dropping: d(steps), lambda: full(steps))


def together(turns: int, steps: int):
    """A step of 25 networks of 110 layers under one `vmap`, as 5 seeds at 5 rates would be, against 25 of one."""
    for width in (16, 64, 256):
        trial = Trial(depth=110, width=width, batch_size=64)
        one = Step(trial).stepper()
        several = Step(dataclasses.replace(trial, num_seeds=TOGETHER)).stepper()
        what = f"step time a network, depth 110, width {width}, {TOGETHER} together against one"
        yield compare(what, "ms", 0.6, turns, lambda s=several: s(steps) / TOGETHER, lambda o=one: o(10 * steps))


def probes(turns: int, steps: int):
    """Every probe of signals and gradients at once, in float32 and width 256: compiling, and running."""
    programs = {depth: _probing(depth) for depth in (1000, 20)}

    def seconds(depth: int) -> float:
        jax.clear_caches()
        read, arguments = programs[depth]
        started = time.perf_counter()
        read.lower(*arguments).compile()
        return time.perf_counter() - started

    what = "compile every probe, width 256, depth 1000 against 20"
    yield compare(what, "s", 1.2, min(turns, 3), lambda: seconds(1000), lambda: seconds(20))
    read, arguments = programs[1000]
    run = functools.partial(milliseconds, lambda: jax.block_until_ready(read(*arguments)), 1)
    run()
    yield ratio("run every probe, width 256, depth 1000, against a minute", "s", 1.0, run() / 1e3, 60)


def singular_values(turns: int, steps: int):
    """The Jacobian of 1000 layers of width 256 and all its singular values, in float64, compilation included."""
    with jax.enable_x64(True):
        network = models.dense(1000, width=256, norm=nn.NoNorm(), connection=nn.Scaled(power=0.5))
        params, state = forward.started(network, jax.random.key(0), jax.numpy.zeros((1, 8, 8, 1)))
        x = jax.random.normal(jax.random.key(1), (256,))

        def read(params, state, x):
            def run(x):
                return blocks.run(network, params, state, x[None])[0][0]

            return values_of(run, x)

        started = time.perf_counter()
        jax.block_until_ready(jax.jit(read)(params, state, x))
        seconds = time.perf_counter() - started
    what = "all singular values of a chain, width 256, depth 1000, against two minutes"
    yield ratio(what, "s", 1.0, seconds, 120)


def _probing(depth: int):
    """The program that reads a network at its start with every probe, and what it takes."""
    network = models.dense(depth, width=256, norm=nn.LayerNorm())
    x = forward.pairs(jax.random.key(0), 32, (8, 8, 1), 0.5)
    params, state = forward.started(network, jax.random.key(1), x)
    loss = backward.readout(jax.random.key(2))
    return jax.jit(lambda *arrays: backward.read(network, *arrays, loss)), (params, state, x)


MEASURES = (
    *(compile_by_depth, step_by_depth, against_unrolled, against_torch, memory, stochastic_depth, together),
    *(probes, singular_values),
)
