"""Many chips, one network: where its arrays lie on a mesh of devices.

Every batch is split over the axis `data`; weights are on all devices, or split as well (fully sharded data
parallelism, Rajbhandari et al. 2020). `jit` does the rest: the programs are those of one device, batch norm
takes its statistics from the whole batch, and the results are the same but for the order of sums.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Shaped

from resjax.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Layout:
    """A mesh with one axis, `data`, and whether weights are split over it."""

    mesh: Mesh
    fsdp: bool = False

    def split(self, batch: Any) -> Any:
        """Within `jit`: a tree of arrays (B …), each device with its share of the batch."""
        return jax.lax.with_sharding_constraint(batch, self.batch)

    @property
    def hold(self) -> Callable[[jax.Array], jax.Array] | None:
        """Within `jit`: what keeps a stream (B …) split by examples, for `Network.apply`; None where weights are whole.

        Where weights are split the compiler may else split streams as the weights are, and then every block gathers the
        whole batch on every device. With it a block gathers its own weights, when it is their turn.
        """
        return self.split if self.fsdp else None

    def gather(self, tree: Any) -> Any:
        """Within `jit`: a tree of arrays that every device has whole, so that every process can read them."""
        return jax.lax.with_sharding_constraint(tree, self._whole)

    def settle(self, train_state: Any) -> Any:
        """Within `jit`: weights and all that goes with them, in their places."""
        return jax.lax.with_sharding_constraint(train_state, self.places(train_state))

    def places(self, train_state: Any) -> Any:
        """The sharding of each leaf. With `fsdp` the last axis that divides evenly is split."""
        return jax.tree.map(lambda leaf: self._place(leaf.shape), train_state)

    def put(self, tree: Any) -> Any:
        """A tree of arrays on every device. All processes must bring the same."""
        return jax.device_put(tree, self._whole)

    def share(self, batch: Any) -> Any:
        """A batch of which every process brings its own part, a tree of numpy arrays (b …): split, B …."""
        return jax.tree.map(lambda part: jax.make_array_from_process_local_data(self.batch, part), batch)

    @property
    def batch(self) -> NamedSharding:
        """The sharding of a batch (B …)."""
        return NamedSharding(self.mesh, PartitionSpec("data"))

    @property
    def _whole(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec())

    def _place(self, shape: tuple[int, ...]) -> NamedSharding:
        even = [axis for axis in range(1, len(shape)) if shape[axis] % self.mesh.size == 0]  # not the layers' axis
        if not self.fsdp or not even:
            return self._whole
        return NamedSharding(self.mesh, PartitionSpec(*[None] * even[-1], "data"))


def asked(mesh: str) -> int:
    """How many devices `--mesh` names; 0 where it names none.

    Raises:
      UserError: no such mesh.
    """
    match = re.fullmatch(r"data:([1-9]\d*)", mesh)
    if mesh and not match:
        raise UserError(f"--mesh={mesh}: must be data:N, with N devices")
    return int(match[1]) if match else 0


def build(mesh: str, fsdp: bool, batch_size: int) -> Layout | None:
    """The layout that `--mesh` names, or on as many devices as split a batch evenly; None on one device.

    Raises:
      UserError: no such mesh, more devices than there are, a batch that they do not split evenly, or a mesh
        that leaves out a process.
    """
    found = jax.device_count()

    def usable(count: int) -> bool:
        """Whether so many can work alone: on a TPU they are a block of the slice's chips."""
        return jax.default_backend() != "tpu" or found % count == 0

    devices = asked(mesh)
    if devices:
        if devices > found:
            raise UserError(f"--mesh={mesh}: there are {found} devices")
        if batch_size % devices:
            raise UserError(f"--mesh={mesh}: does not split --batch_size={batch_size} evenly")
        if not usable(devices):
            raise UserError(f"--mesh={mesh}: must divide the {found} chips of the slice")
    else:
        devices = max(count for count in range(1, found + 1) if batch_size % count == 0 and usable(count))
    if devices < found and jax.process_count() > 1:
        if mesh:
            raise UserError(f"--mesh={mesh}: must be data:{found}, the devices of all processes")
        raise UserError(f"--batch_size={batch_size}: must be a multiple of {found}, the devices of all processes")
    if devices == 1:
        return None
    return Layout(Mesh(in_order(jax.devices()[:devices]), ("data",), axis_types=(AxisType.Auto,)), fsdp)


def in_order(devices: Sequence[jax.Device]) -> Shaped[np.ndarray, " N"]:
    """The devices, process by process, so that the rows of a batch that a process brings stand together, and in turn.

    `jax.make_mesh` goes along the links of a TPU slice, where the devices of a process are not neighbours.
    """
    return np.asarray(sorted(devices, key=lambda device: (device.process_index, device.id)))
