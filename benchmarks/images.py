"""What `throughput` measures of convolutional networks; batch 128, images of 32×32×3."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.others import linen, pytorch
from benchmarks.timing import Fixed, Step, compare, milliseconds
from resjax.lab.trial import Trial
from resjax.nn.convolution import convolve

IMAGES = (1280, 32, 32, 3)
BATCH = 128


def trial(depth: int, network: str = "resnet", **choices) -> Trial:
    """The networks measured here; the blocks keep their convolutions' outputs for the backward pass."""
    return Trial(network=network, depth=depth, **{"remat": "dots_saveable", "batch_size": BATCH} | choices)


def convolution_in_a_scan(turns: int, steps: int):
    """The gradient of six 3×3 convolutions under one scan, against JAX's own convolution there."""
    x = jnp.ones((BATCH, 8, 8, 32))
    kernels = jnp.ones((6, 3, 3, 32, 32)) / 300

    def plain(x, w):
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def gradient(convolution):
        run = lambda kernels, x: lax.scan(lambda x, w: (convolution(x, w), None), x, kernels)[0].sum()  # noqa: E731
        step = jax.jit(jax.grad(run, (0, 1)))
        jax.block_until_ready(step(kernels, x))
        return lambda: jax.block_until_ready(step(kernels, x))

    ours = gradient(convolve)
    theirs = gradient(plain)
    what = "gradient of 6 convolutions in a scan, against XLA's own gradient there"
    yield compare(what, "ms", 0.05, turns, lambda: milliseconds(ours, steps), lambda: milliseconds(theirs, 1))


def compile_by_depth(turns: int, steps: int):
    """Tracing, lowering and compiling a training step of 1001 layers against 29."""
    deep, shallow = (Step(trial(depth, "bottleneck"), images=IMAGES) for depth in (1001, 29))
    what = "trace and compile, bottleneck network, depth 1001 against 29"
    yield compare(what, "s", 1.2, min(turns, 3), deep.compile_seconds, shallow.compile_seconds)


def against_unrolled(turns: int, steps: int):
    """ResNet-56 as scans against a Python loop over the blocks with XLA's own gradient."""
    scanned = Step(trial(56), images=IMAGES)
    unrolled = Step(trial(56), linen.Linen(linen.UnrolledResNet(depth=56)), images=IMAGES)
    what = "trace and compile, ResNet-56, scanned against unrolled"
    yield compare(what, "s", 1 / 3, 1, scanned.compile_seconds, unrolled.compile_seconds)
    ours = scanned.stepper()
    theirs = unrolled.stepper()
    what = "step time, ResNet-56, scanned against unrolled"
    yield compare(what, "ms", 1.0, turns, lambda: ours(1), lambda: theirs(1))


def against_torch(turns: int, steps: int):
    """Training steps of ResNet-20 and ResNet-56 against eager PyTorch, channels last."""
    for depth in (20, 56):
        theirs = functools.partial(milliseconds, pytorch.resnet_step(depth, BATCH), 1)
        ours = functools.partial(Step(trial(depth), images=IMAGES).stepper(), 1)
        yield compare(f"step time, ResNet-{depth}, against eager PyTorch", "ms", 1.0, turns, ours, theirs)


def stochastic_depth(turns: int, steps: int):
    """A step that drops blocks, each for the whole batch, against one of the full ResNet-110; batch 32."""
    small = functools.partial(trial, 110, batch_size=32)
    full = Step(small(), images=IMAGES).stepper()
    for last, most in ((0.5, 0.8), (0.2, 0.66)):
        dropping = Step(small(survival=f"linear(last={last})"), images=IMAGES).stepper()
        what = f"step time, ResNet-110, stochastic depth (last block {last}) against none"
        yield compare(what, "ms", most, min(turns, 3), lambda d=dropping: d(steps // 2), lambda: full(steps // 2))


def input_path(turns: int, steps: int):
    """A step that gathers, crops, flips and normalises its batch, against one on a batch that stays."""
    step = Step(trial(20, augment=("crop(pad=4)", "flip")), images=IMAGES)
    batch = step.source.batch(jax.random.key(0), 0)
    ours = step.stepper()
    theirs = step.stepper(Fixed(*batch))
    what = "step time, ResNet-20, with its input path against a fixed batch"
    yield compare(what, "ms", 1.03, turns, lambda: ours(2), lambda: theirs(2))


MEASURES = (convolution_in_a_scan, compile_by_depth, against_unrolled, against_torch, stochastic_depth, input_path)
