"""The column `blocks` of transformers, whose papers count pairs of attention and MLP where the depth counts layers."""

from typing import Any

from resjax.lab import registry, sweep
from resjax.lab.config import Running
from resjax.lab.tables import BLOCKS, Column


def column(config: Running) -> dict[str, Column]:
    """The column, if there are transformers among an experiment's networks."""
    networks = {getattr(each, "network", "dense") for _, each in sweep.combinations(config)}
    return BLOCKS if any(hasattr(registry.family(network), "blocks") for network in networks) else {}


def counted(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a table, with its network's blocks if it is a transformer's."""
    if not {"network", "depth"} <= row.keys():
        return row
    family = registry.family(row["network"])
    return {"blocks": family.blocks(row["depth"])} | row if hasattr(family, "blocks") else row
