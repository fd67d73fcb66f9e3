"""What `lesions` computes: which networks of another run it takes, and every lesion of a network."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from resjax.data import loading as data
from resjax.lab import other_runs as runs
from resjax.lab import plan as planning
from resjax.lab import registry
from resjax.lab.config import Point
from resjax.layers import Layers
from resjax.network import Network
from resjax.nn.connections import Plain
from resjax.probes import deletion, lesion_checks
from resjax.random_streams import stream
from resjax.system.errors import UserError
from resjax.training.evaluation import evaluate
from resjax.training.step import TrainState

ALL = NONE = (-1,)  # of `blocks`: all that can be deleted; of `permutation`: no order beside those drawn
APART = ("connection", "survival", "seed")  # by which the table tells networks apart


def taken(config) -> list[runs.Saved]:
    """The networks of the run `config.from_` that agree with the flags.

    A flag that is not at its default keeps the networks of its value. One at its default decides only
    where they differ in what the table does not tell apart.

    Raises:
      UserError: it is no run, or no network, or no single kind of them, agrees; from `runs.networks_of`.
    """
    usual = type(config)(network=config.network)  # whose width and order depend on it
    flags = dataclasses.asdict(config).values()
    trusted = {name for flag in flags for name in (flag if isinstance(flag, tuple) else (flag,))}
    saved = found = runs.networks_of(config.from_, trusted)
    options = {field.name for field in dataclasses.fields(config) if field.metadata["changes_results"]} | set(APART)
    names = [field.name for field in dataclasses.fields(Point) if field.name in options]
    given = {name for name in names if _wanted(config, name) != _wanted(usual, name)}
    if config.network != type(config)().network:
        given.add("network")
    for name in sorted(names, key=lambda name: name not in given):
        wanted = _wanted(config, name)
        there = sorted({getattr(point, name) for point, _ in found})
        missing = [value for value in wanted if value not in there]
        if name in given and missing:
            raise UserError(f"--from={config.from_}: {name} is {_text(there)} there and {_text(missing)} here")
        if len(there) > 1 and missing and name not in APART:
            raise UserError(f"--from={config.from_}: {name} is {_text(there)} there: choose one with --{name}")
        if name in given or (name not in APART and len(there) > 1):
            found = [(point, folder) for point, folder in found if getattr(point, name) in wanted]
    print(f"{config.from_}: {len(found)} of {len(saved)} networks")
    place = {name: at for at, name in enumerate((*config.connections, *config.survival))}  # as if trained here
    found.sort(key=lambda saved: [place.get(name, len(place)) for name in (saved[0].connection, saved[0].survival)])
    return [(dataclasses.replace(point, data_dir=config.data_dir), folder) for point, folder in found]


def _wanted(config, name: str) -> tuple:
    several = {"connection": config.connections, "survival": config.survival, "seed": tuple(range(config.seeds))}
    return several[name] if name in several else (getattr(config, name),)


def _text(values) -> str:
    return ", ".join(",".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values)


def check(point):
    """Raises UserError: the network cannot be, or cannot be lesioned so."""
    network, _, _ = planning.plan(point)
    for block in point.blocks if point.blocks != ALL else ():
        with registry.flag("blocks", block):
            lesion_checks.check_block(network, block)
    if point.permutation != NONE:
        with registry.flag("permutation", ",".join(map(str, point.permutation))):
            lesion_checks.check_order(network, point.permutation)
    with registry.flag("deletions", max(point.deletions)):
        lesion_checks.check_deletions(network, max(point.deletions))
    with registry.flag("swapped", ",".join(map(str, point.swapped))):
        deletion.pairs(network)


def measure(point, network: Network, carry: TrainState, dataset: data.Dataset) -> dict[str, list[dict]]:
    """A row for every lesion of a trained network, with loss and accuracy on the held-out images."""
    rows = []
    for row, alive, order in _lesions(point, network):
        layers = Layers(keep=jnp.asarray(alive), order=jnp.asarray(order, jnp.int32))
        loss, accuracy = evaluate(network, carry.params, carry.state, dataset.test, layers=layers)
        tau = deletion.kendall_tau(order) if row["kind"] in ("swap", "permutation") else 1.0
        rows.append({"draw": 0, "block": None, "kendall_tau": tau, "loss": loss, "accuracy": accuracy} | row)
    return {"rows": rows}


def _lesions(point, network: Network) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """Every lesion: its name in the table, which blocks are there, and in which order.

    Networks of the same seed and number of blocks have the same ones.
    """
    length = network.length
    key = jax.random.key(point.seed)
    whole = deletion.deletion(length, [])
    order = np.arange(length)
    yield {"kind": "none", "count": 0}, whole, order
    for block in np.concatenate(lesion_checks.movable(network)) if point.blocks == ALL else point.blocks:
        yield {"kind": "delete", "count": 1, "block": int(block)}, deletion.deletion(length, [block]), order
    if not isinstance(network.blocks[0].connection, Plain):  # whose shortcut nothing has trained
        for block in np.flatnonzero(network.transitions):
            yield {"kind": "branch", "count": 1, "block": int(block)}, deletion.deletion(length, [block]), order
    if point.permutation != NONE:
        yield {"kind": "permutation", "count": 1}, whole, np.array(point.permutation)
    for count in point.deletions:
        draws = jax.random.fold_in(stream(key, "deletions"), count)
        for draw, alive in enumerate(deletion.random_deletions(draws, network, count, point.draws)):
            yield {"kind": "delete_random", "count": count, "draw": draw}, alive, order
    for count in point.swapped:
        draws = jax.random.split(jax.random.fold_in(stream(key, "swaps"), count), point.draws)
        for draw, own in enumerate(draws):
            yield {"kind": "swap", "count": count, "draw": draw}, whole, deletion.swaps(own, network, count)
