"""What `throughput` measures of transformers, on texts: windows of 64 bytes, width 64, 4 heads, batches of 8."""

import functools

from benchmarks import torch_peers
from benchmarks.timing import Step, compare, milliseconds, ratio
from resjax.cost import parameter_count
from resjax.lab.trial import Trial

DEPTH = 1002  # weighted layers: 250 blocks of attention and MLP
MIDDLE = 102
SHALLOW = 50
NETWORK = {"network": "transformer(heads=4)", "dataset": "text", "norm": "layer", "width": 64, "batch_size": 8}


def compile_by_depth(turns: int, steps: int):
    """Tracing, lowering and compiling one training step at depth 1002 against depth 50."""
    deep, shallow = (Step(Trial(**NETWORK, depth=depth)) for depth in (DEPTH, SHALLOW))
    what = f"trace and compile, transformer, depth {DEPTH} against {SHALLOW}"
    yield compare(what, "s", 1.2, turns, deep.compile_seconds, shallow.compile_seconds)


def step_by_depth(turns: int, steps: int):
    """Step time a layer at depth 1002 against depth 50."""
    deep, shallow = (Step(Trial(**NETWORK, depth=depth)).stepper() for depth in (DEPTH, SHALLOW))
    what = f"step time a layer, transformer, depth {DEPTH} against {SHALLOW}"
    yield compare(what, "ms", 1.2, turns, lambda: deep(steps) / DEPTH, lambda: shallow(10 * steps) / SHALLOW)


def against_torch(turns: int, steps: int):
    """A training step at depth 1002 against eager PyTorch's own encoder layers."""
    theirs = functools.partial(milliseconds, torch_peers.transformer_step((DEPTH - 2) // 4, 64, 4, 8, 64), steps)
    ours = functools.partial(Step(Trial(**NETWORK, depth=DEPTH)).stepper(), steps)
    yield compare(f"step time, transformer, depth {DEPTH}, against eager PyTorch", "ms", 0.7, turns, ours, theirs)


def first_step_against_compiled(turns: int, steps: int):
    """From nothing to the end of the first step at depth 102, against the same with `torch.compile`, once."""
    how = torch_peers.How(compiled=True)
    theirs = functools.partial(torch_peers.transformer_step, (MIDDLE - 2) // 4, 64, 4, 8, 64, how)
    what = f"time to the first step, transformer, depth {MIDDLE}, against torch.compile"
    ours = Step(Trial(**NETWORK, depth=MIDDLE)).first_seconds
    yield compare(what, "s", 1 / 20, 1, ours, lambda: milliseconds(theirs, 1) / 1e3)


def memory(turns: int, steps: int):
    """Temporary memory of a step at depth 1002 with remat, against gradients + 1.3 × the blocks' inputs."""
    step = Step(Trial(**NETWORK, depth=DEPTH, remat="nothing_saveable"))
    gradients = 4 * parameter_count(step.start().params)
    inputs = 4 * step.network.length * 8 * 64 * 64
    temporary = step.lower().compile().memory_analysis().temp_size_in_bytes
    what = f"temporary memory, transformer, depth {DEPTH}, against gradients + 1.3 × inputs"
    yield ratio(what, "MiB", 1.0, temporary / 2**20, (gradients + 1.3 * inputs) / 2**20)


MEASURES = (compile_by_depth, step_by_depth, against_torch, first_step_against_compiled, memory)
