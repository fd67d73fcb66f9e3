"""What `throughput` measures of transformers with four streams: against those of one, with the norm before branches."""

from benchmarks.timing import Step, compare
from benchmarks.transformers import NETWORK, SHALLOW
from resjax.lab.trial import Trial

DEPTH = 2002  # weighted layers: 1000 sublayers x + F(x)
CONNECTIONS = "hyper", "mhc"


def step_by_connection(turns: int, steps: int):
    """A training step at depth 2002 with four streams against one."""
    one = Step(Trial(**NETWORK, depth=DEPTH)).stepper()
    for connection in CONNECTIONS:
        several = Step(Trial(**NETWORK, depth=DEPTH, connection=connection)).stepper()
        what = f"step time, transformer, depth {DEPTH}, {connection} against residual"
        yield compare(what, "ms", 2.0, turns, lambda several=several: several(steps), lambda: one(steps))


def compile_by_depth(turns: int, steps: int):
    """Tracing, lowering and compiling one training step at depth 2002 against depth 50."""
    for connection in CONNECTIONS:
        trials = (Trial(**NETWORK, depth=depth, connection=connection) for depth in (DEPTH, SHALLOW))
        deep, shallow = map(Step, trials)
        what = f"trace and compile, transformer with {connection}, depth {DEPTH} against {SHALLOW}"
        yield compare(what, "s", 1.2, turns, deep.compile_seconds, shallow.compile_seconds)


MEASURES = (step_by_connection, compile_by_depth)
