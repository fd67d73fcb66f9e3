"""Trains 50 steps in float64 and writes the weights: in a process of its own, for its devices and its neighbours.

python on_devices.py OUT.npz MESH FSDP [COORDINATOR PROCESSES PROCESS]
"""

import dataclasses
import sys

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
OUT, NAMES, MESH, FSDP, *COORDINATOR = sys.argv[1:]
if COORDINATOR:
    address, processes, process = COORDINATOR
    jax.distributed.initialize(address, int(processes), int(process))

from helpers import double  # noqa: E402 (JAX must know its neighbours first)

from resjax.lab import plan as planning  # noqa: E402
from resjax.lab.trial import Trial  # noqa: E402
from resjax.system import distributed  # noqa: E402
from resjax.training.step import train_step  # noqa: E402

KINDS = {
    "dense": {"depth": 6, "width": 8},
    "images": {"network": "resnet", "depth": 8, "width": 4, "augment": ("crop(pad=1)", "flip")},
    "together": {"depth": 4, "width": 8, "num_seeds": 2},
    "dropped": {"depth": 8, "width": 8, "survival": "linear(last=0.5)"},
}
for name in NAMES.split(","):
    trial = Trial(batch_size=16, learning_rate=0.01, mesh=MESH, fsdp=FSDP == "fsdp", **KINDS[name])
    planned = planning.plan(trial)
    layout = planning.layout(trial)
    found = double(planning.start(planned, trial, layout))
    dataset = dataclasses.replace(planned.dataset, train=double(planned.dataset.train))
    batches = planning.batches(trial, dataset.on(layout) if layout else dataset)
    for step in range(50):
        found, loss, _ = train_step(planned.network, planned.optimizer.build(), found, batches.at(step), layout)
        loss.block_until_ready()  # many programs at once, on more devices than cores, can wait for each other for ever
    weights = found.params, found.state, found.optimizer, loss
    if layout:
        sharded = sum(not leaf.is_fully_replicated for leaf in jax.tree.leaves(found.params))
        assert bool(sharded) == trial.fsdp, sharded
        weights = jax.jit(layout.gather)(weights)
    if distributed.is_primary():
        named = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(weights)}
        np.savez(f"{OUT}-{name}.npz", **{path: np.asarray(leaf) for path, leaf in named.items()})
