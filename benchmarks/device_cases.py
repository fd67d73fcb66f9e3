"""What `accelerator` measures on a device: products of matrices, training steps of ours, and those of PyTorch."""

import dataclasses
import math
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.others.pytorch import How
from benchmarks.timing import Fixed, Step
from resjax.cost import forward_flops
from resjax.lab.trial import Trial

Pace = Callable[[Callable, Callable], float]  # (step, wait) -> milliseconds a step, see `timing.paced`


@dataclasses.dataclass(frozen=True)
class Product:
    """The product of two square matrices, in the precision that JAX takes by itself, as it does for networks."""

    size: int
    dtype: str

    @property
    def named(self) -> dict[str, Any]:
        """The columns that are known before it is measured."""
        return {"network": f"{self.size}×{self.size} matrices", "dtype": self.dtype}

    def measure(self, pace: Pace) -> dict[str, Any]:
        """The other columns."""
        a, b = jax.random.normal(jax.random.key(0), (2, self.size, self.size), self.dtype)
        multiply = jax.jit(jnp.matmul)
        product = a

        def step():
            nonlocal product
            product = multiply(a, b)

        flops = 2 * self.size**3
        milliseconds = pace(step, lambda: product.block_until_ready())
        return _speed(milliseconds, flops, flops, "operations")


@dataclasses.dataclass(frozen=True)
class Training:
    """A training step, of one network or of several together."""

    network: str  # what the table calls it
    trial: Trial
    images: tuple[int, int, int, int] | None = None  # N H W C, in place of the data set
    peer: Any = None  # what has the `init` and `apply` of the network, and is measured in its place
    fixed: bool = False  # on one batch, without its input path
    variant: str = ""

    @property
    def named(self) -> dict[str, Any]:
        """The columns that are known before it is measured."""
        trial = self.trial
        together = {"batch": trial.batch_size, "networks": max(1, trial.num_seeds)}
        kept = trial.remat or "everything"
        return {"network": self.network, "dtype": trial.dtype, "remat": kept, "variant": self.variant} | together

    def measure(self, pace: Pace) -> dict[str, Any]:
        """The other columns; the step is compiled once."""
        step = Step(self.trial, self.peer, self.images)
        source = Fixed(*step.source.batch(jax.random.key(0), 0)) if self.fixed else step.source
        jax.clear_caches()
        started = time.perf_counter()
        compiled = step.lower(source).compile()
        seconds = time.perf_counter() - started
        state = step.start()

        def run():
            nonlocal state
            state, _, _ = compiled(state, source)

        milliseconds = pace(run, lambda: jax.block_until_ready(state))
        memory = compiled.memory_analysis()  # or None, where the device's compiler does not say
        own = {"compile_seconds": seconds, "temporary_mib": memory.temp_size_in_bytes / 2**20 if memory else math.nan}
        return own | _speed(milliseconds, *_work(step, self))


@dataclasses.dataclass(frozen=True)
class Torch:
    """A training step of PyTorch, compiled, of a network of ours."""

    ours: Training
    build: Callable[[How], Callable[[], None]]  # see `others.pytorch`

    @property
    def named(self) -> dict[str, Any]:
        """The columns that are known before it is measured."""
        shared = {name: self.ours.named[name] for name in ("network", "dtype", "batch", "networks")}
        return shared | {"variant": f"PyTorch {metadata.version('torch')}, compiled"}

    def measure(self, pace: Pace) -> dict[str, Any]:
        """The other columns, but for memory; the first step counts as compiling."""
        import torch  # an extra

        device = "cpu" if jax.default_backend() == "cpu" else "cuda"
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("this PyTorch finds no GPU")
        wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        started = time.perf_counter()
        step = self.build(How(compiled=True, device=device, dtype=self.ours.trial.dtype))
        wait()
        seconds = time.perf_counter() - started
        work = _work(Step(self.ours.trial, images=self.ours.images), self.ours)
        return {"compile_seconds": seconds} | _speed(pace(step, wait), *work)


Case = Product | Training | Torch


def label(case: Case) -> str:
    """What the messages call a case, and the column `ratio_to`."""
    named = case.named
    batch = f"batch {named['batch']}" if "batch" in named else ""
    parts = named["network"], named.get("variant"), named["dtype"], batch, named.get("remat")
    return ", ".join(filter(None, parts))


def _work(step: Step, case: Training) -> tuple[float, int, str]:
    """The operations of a step, 3 × those of a forward pass of our network, and what it learns from: how many, of what.

    Backwards each product is two; what is computed again does not count.
    """
    inputs = step.planned.dataset.inputs(case.trial.batch_size)
    networks = case.named["networks"]
    flops = 3 * networks * forward_flops(step.planned.network, inputs)
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        return flops, networks * inputs.size, "tokens"
    return flops, networks * len(inputs), "examples"


def _speed(milliseconds: float, flops: float, count: float, unit: str) -> dict[str, Any]:
    rate = {"step_milliseconds": milliseconds, "per_second": 1e3 * count / milliseconds, "unit": unit}
    return {"gigaflop": flops / 1e9} | rate
