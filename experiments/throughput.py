"""What does depth cost? Compile time, step time and memory of the scanned stack, as ratios from one run.

    python -m experiments.throughput

Each ratio compares two things measured in turn in this process, and is the median over the turns; it
stands beside the most that it should be. PyTorch is compared where the extra [peers] is installed.
"""

import dataclasses
import functools
import time

import resjax
from resjax.config import Point, option

RESULTS = {
    "what": "str",
    "measured": "float64",
    "reference": "float64",
    "unit": "str",
    "ratio": "float64",  # measured / reference
    "at_most": "float64",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The options of this benchmark."""

    turns: int = option(5, "times each pair is measured", minimum=1)
    steps: int = option(10, "steps a turn", minimum=1)
    workdir: str = option("", "where the table goes (default: runs/throughput-HASH)", changes_results=False)
    plot_only: bool = option(False, "print the table of an earlier run again", changes_results=False)


def run(config: Config):
    """Measures everything, then writes and prints the table."""
    work = resjax.record.WorkDirectory.open("throughput", config, {"results": RESULTS})
    if not config.plot_only:
        rows = []
        for measure in (compile_by_depth, step_by_depth, against_unrolled, against_torch, memory):
            for row in measure(config):
                rows.append(row)
                print(f"{row['what']}: {row['ratio']:.3g} (at most {row['at_most']})", flush=True)
        work.write_table("results", rows)
    resjax.session.show(work.read_table("results"), title="throughput")
    print(f"table: {work.path / 'results.csv'}")


def compile_by_depth(config: Config):
    """Tracing, lowering and compiling one training step at depth 1000 against depth 20."""

    def seconds(depth: int) -> float:
        import jax  # submodules of resjax load JAX only when a command runs

        jax.clear_caches()
        lower = _lower(Point(depth=depth))
        started = time.perf_counter()
        lower().compile()
        return time.perf_counter() - started

    yield _row("trace and compile, depth 1000 against 20", "s", 1.2, lambda: seconds(1000), lambda: seconds(20), config)
    lines = [_lower(Point(depth=depth))().as_text().count("\n") for depth in (1000, 20)]
    yield _ratio("lines of the lowered program, depth 1000 against 20", "lines", 1.0, *lines)


def step_by_depth(config: Config):
    """Step time a layer at depth 1000 against depth 100."""
    deep, shallow = _stepper(Point(depth=1000)), _stepper(Point(depth=100))
    yield _row(
        "step time a layer, depth 1000 against 100",
        "ms",
        1.2,
        lambda: deep(config.steps) / 1000,
        lambda: shallow(10 * config.steps) / 100,
        config,
    )


def against_unrolled(config: Config):
    """The scan against a Python loop over the blocks, depth 64: initialise, compile, first step; then step."""
    import jax  # `--help` loads no JAX

    from experiments import peers

    point, unrolled = Point(depth=64), peers.Unrolled(64, 64)
    network, optimizer, _, source = _setup(point)
    images = source.split.take(source.order[:1])[0]

    def first(network, initialize) -> float:
        jax.clear_caches()
        started = time.perf_counter()
        carry = initialize(network, optimizer, jax.random.key(0), images)
        resjax.train.train_step(network, optimizer, carry, source)[1].block_until_ready()
        return time.perf_counter() - started

    usual = jax.jit(resjax.train.initial_carry, static_argnums=(0, 1))  # with XLA's default options
    yield _row(
        "time to the first step, depth 64, scanned against unrolled",
        "s",
        0.2,
        lambda: first(network, resjax.train.initialize),
        lambda: first(unrolled, usual),
        dataclasses.replace(config, turns=min(config.turns, 3)),
    )
    ours, theirs = _stepper(point), _stepper(point, unrolled)
    steps = 10 * config.steps
    yield _row(
        "step time, depth 64, scanned against unrolled", "ms", 1.1, lambda: ours(steps), lambda: theirs(steps), config
    )


def against_torch(config: Config):
    """A training step at depth 1000 against eager PyTorch."""
    from experiments import peers  # imports JAX

    for width, most in ((64, 0.5), (128, 1.0)):
        point = Point(depth=1000, width=width, batch_size=width)
        try:
            torch_step = peers.torch_step(point.depth, point.width, point.batch_size, point.learning_rate)
        except ImportError:
            print("PyTorch is not installed (extra [peers]): not compared")
            return
        torch_step()
        ours, theirs = _stepper(point), functools.partial(_milliseconds, torch_step)
        name = f"step time, depth 1000, width {width}, batch {width}, against eager PyTorch"
        yield _row(
            name, "ms", most, functools.partial(ours, config.steps), functools.partial(theirs, config.steps), config
        )


def memory(config: Config):
    """Temporary memory of a step at depth 1000 with remat, against gradients + 1.3 × the blocks' inputs."""
    point = Point(depth=1000, remat="nothing_saveable")
    network, _, carry, _ = _setup(point)
    gradients = 4 * resjax.networks.parameter_count(carry.params)
    inputs = 4 * network.length * point.batch_size * point.width
    temporary = _lower(point)().compile().memory_analysis().temp_size_in_bytes
    budget = gradients + 1.3 * inputs
    yield _ratio(
        "temporary memory, depth 1000, against gradients + 1.3 × inputs", "MiB", 1.0, temporary / 2**20, budget / 2**20
    )


def _row(what: str, unit: str, at_most: float, measure, reference, config: Config) -> dict:
    """Measures the two in turn; the ratio is the median of the turns' ratios."""
    import numpy as np

    pairs = np.array([(measure(), reference()) for _ in range(config.turns)])
    ratio = np.median(pairs[:, 0] / pairs[:, 1])
    return _ratio(what, unit, at_most, *np.median(pairs, axis=0)) | {"ratio": ratio}


def _ratio(what: str, unit: str, at_most: float, measured: float, reference: float) -> dict:
    values = {"measured": measured, "reference": reference, "ratio": measured / reference}
    return {"what": what, "unit": unit, "at_most": at_most} | values


def _setup(point: Point, network=None):
    """The arguments of one training step."""
    import jax

    planned, optimizer, dataset = resjax.train.plan(point)
    network = network or planned
    key = jax.random.key(0)
    carry = resjax.train.initialize(network, optimizer, key, jax.numpy.zeros((1, *dataset.train.shape)))
    return network, optimizer, carry, dataset.train.batches(point.batch_size, point.augment, seed=0).at(0)


def _lower(point: Point):
    return functools.partial(resjax.train.train_step.lower, *_setup(point))


def _stepper(point: Point, network=None):
    """A function: steps -> milliseconds a step. One step is done here, so that it compiles here."""
    network, optimizer, carry, source = _setup(point, network)

    def step():
        nonlocal carry
        carry, loss, _ = resjax.train.train_step(network, optimizer, carry, source)
        return loss

    step().block_until_ready()
    return functools.partial(_milliseconds, lambda: step().block_until_ready())


def _milliseconds(step, steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return 1e3 * (time.perf_counter() - started) / steps


if __name__ == "__main__":
    resjax.flags.main(Config, run)
