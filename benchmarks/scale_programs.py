"""Training steps compiled for many devices that are not there: nothing is trained, and no array is made."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from benchmarks.collectives import Collective, collectives
from benchmarks.timing import Fixed
from resjax import models
from resjax.cost import forward_flops, parameter_count
from resjax.network import Network
from resjax.nn.convolution import traced_for_elsewhere
from resjax.system.sharding import Layout
from resjax.training import optimizers, tasks
from resjax.training.step import TrainState, initial_state, train_step
from resjax.training.tasks import Task

PASSES = 4  # forward passes that a step costs: one, one again on the way back, and two products there for each of one
HEADS = 16


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, how it is trained, and what one chip gets of a batch."""

    network: Network
    optimizer: optax.GradientTransformation
    task: Task
    shape: tuple[int, ...]  # b …: of the inputs
    dtype: Any
    classes: tuple[int, ...]  # b, or b T: of the targets

    def train_state(self) -> TrainState:
        """Its shapes."""
        one = jax.ShapeDtypeStruct((1, *self.shape[1:]), self.dtype)
        start = functools.partial(initial_state, self.network, self.optimizer)
        return jax.eval_shape(start, jax.eval_shape(lambda: jax.random.key(0)), one)

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return parameter_count(self.train_state().params)

    @property
    def flops(self) -> float:
        """Of one chip in a step, what is computed again counted in."""
        return PASSES * forward_flops(self.network, jax.ShapeDtypeStruct(self.shape, self.dtype))


class ByLayers(Layout):
    """Weights are split over the layers' axis of their stack, where it divides evenly."""

    def places(self, train_state: Any) -> Any:
        """The sharding of each leaf."""

        def place(path, leaf):
            stacked = any(getattr(key, "key", None) == "stages" for key in path)
            split = stacked and leaf.ndim and leaf.shape[0] % self.mesh.size == 0
            return NamedSharding(self.mesh, PartitionSpec("data" if split else None) if leaf.ndim else PartitionSpec())

        return jax.tree_util.tree_map_with_path(place, train_state)


def case(name: str, depth: int, width: int, images: int, windows: int, tokens: int) -> Case:
    """A network by its name, in the sizes of `scale`'s options.

    Raises:
      ValueError: a depth or a width that it cannot have.
    """
    remat = jax.checkpoint_policies.nothing_saveable
    if name == "transformer":
        if width % (2 * HEADS):
            raise ValueError(
                f"width {width}: must be a multiple of {2 * HEADS}, for {HEADS} heads of an even number each"
            )
        network = models.transformer(depth, width, HEADS, remat=remat)
        shape = (windows, tokens)
        return Case(network, optimizers.adamw(1e-3), tasks.LANGUAGE_MODEL, shape, jnp.int32, shape)
    network = models.bottleneck(depth, remat=remat)
    return Case(network, optimizers.sgd(0.1), tasks.CLASSIFICATION, (images, 32, 32, 3), jnp.float32, (images,))


def pretend(devices: int) -> None:
    """So many CPU devices, whatever is there; to be called before JAX has looked."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)


def layout(name: str, devices: int) -> Layout:
    """One of `scale`'s layouts, on the first so many devices."""
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    return {"data": Layout, "fsdp": Layout, "layers": ByLayers}[name](mesh, fsdp=name != "data")


def splits(case: Case, layout: Layout) -> bool:
    """Whether a layout splits any weights."""
    params = case.train_state().params
    return any(not place.is_fully_replicated for place in jax.tree.leaves(layout.places({"params": params})))


def compiled(case: Case, layout: Layout) -> tuple[Any, list[Collective]]:
    """The memory of a compiled training step, in bytes of one device (`memory_analysis`), and its collectives."""
    state = case.train_state()
    placed = jax.tree.map(_abstract, state, layout.places(state))
    batch = (
        jax.ShapeDtypeStruct((layout.mesh.size * shape[0], *shape[1:]), dtype, sharding=layout.batch)
        for shape, dtype in ((case.shape, case.dtype), (case.classes, jnp.int32))
    )
    with traced_for_elsewhere():
        lowered = train_step.lower(case.network, case.optimizer, placed, Fixed(*batch), layout, case.task)
    program = lowered.compile()
    return program.memory_analysis(), collectives(program.as_text())


def _abstract(leaf: Any, place: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
