"""Networks: stem → stages → head, and the table of the architectures that have a name."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from resjax import activations, branches, connections, initializers, normalizers
from resjax.config import Point
from resjax.errors import UserError
from resjax.parts import Part
from resjax.stack import Block, Layers, Stack


class DenseStem(Part):
    """B H W C -> B D: one dense layer; in the `post` order normalised and activated."""

    width: int = 64

    @nn.compact
    def __call__(self, x, train: bool):
        x = self.dense(x.reshape(x.shape[0], -1), self.width)  # B D
        return self.activate(self.normalize(x, train)) if self.order == "post" else x


class DenseHead(Part):
    """B D -> B K, the logits; in the `pre` order the stream is normalised and activated first."""

    classes: int = 10

    @nn.compact
    def __call__(self, x, train: bool):
        x = self.activate(self.normalize(x, train)) if self.order == "pre" else x
        return self.dense(x, self.classes)


@dataclasses.dataclass(frozen=True)
class Network:
    """Images to logits. Parameters and state are dicts with the keys stem, stages, head.

    Blocks are numbered through all stages, first to last; arrays over the layers (`Layers`) and
    probe values span them all.
    """

    stem: nn.Module
    stages: tuple[Stack, ...]
    head: nn.Module

    @property
    def length(self) -> int:
        """L, the number of blocks."""
        return sum(stack.length for stack in self.stages)

    @property
    def depth(self) -> int:
        """Weighted layers on the longest path: stem, branches and head (He et al. 2015)."""
        return 1 + sum(stack.length * stack.block.branch.layers for stack in self.stages) + 1

    def init(self, key, x):
        """Parameters and state for images shaped like x (B H W C)."""
        stem_key, head_key, *stage_keys = jax.random.split(key, 2 + len(self.stages))
        params, state = {"stages": []}, {"stages": []}
        x, params["stem"], state["stem"] = _init(self.stem, stem_key, x)
        for stack, stage_key in zip(self.stages, stage_keys, strict=True):
            stack_params, stack_state = stack.init(stage_key, x)
            params["stages"].append(stack_params)
            state["stages"].append(stack_state)
            x, _, _ = stack.apply(stack_params, stack_state, x)
        _, params["head"], state["head"] = _init(self.head, head_key, x)
        return params, state

    def apply(self, params, state, x, layers=Layers(), *, train=False, probe: Callable | None = None):
        """Runs images x (B H W C) through the network.

        Returns:
          logits (B K), the new state (the old one unless `train`), and the probe's values with a
          leading axis of L. For `layers` and `probe` see `Stack.apply`.
        """
        new_state, seen, first = {"stages": []}, [], 0
        keys = None if layers.key is None else jax.random.split(layers.key, len(self.stages))
        x, new_state["stem"] = _apply(self.stem, params["stem"], state["stem"], x, train)
        for stage, stack in enumerate(self.stages):
            here = slice(first, first + stack.length)
            own = Layers(
                alive=None if layers.alive is None else layers.alive[here],
                rate=None if layers.rate is None else layers.rate[here],
                order=None if layers.order is None else layers.order[here] - first,
                key=None if keys is None else keys[stage],
            )
            x, stage_state, stage_seen = stack.apply(
                params["stages"][stage], state["stages"][stage], x, own, train=train, probe=probe
            )
            new_state["stages"].append(stage_state)
            seen.append(stage_seen)
            first += stack.length
        logits, new_state["head"] = _apply(self.head, params["head"], state["head"], x, train)
        return logits, new_state, jax.tree.map(lambda *stages: jnp.concatenate(stages), *seen)


def _init(module, key, x):
    y, variables = module.init_with_output(key, x, train=False)
    variables = dict(variables)
    return y, variables.pop("params", {}), variables


def _apply(module, params, state, x, train):
    y, new_state = module.apply({"params": params, **state}, x, train=train, mutable=list(state) if train else [])
    return y, new_state if train else state


def dense(point: Point, classes: int) -> Network:
    """A stem, L blocks and a head of dense layers: depth = 2 + L · (layers a branch).

    Raises:
      UserError: a depth that is not of this form, with the nearest ones that are.
    """
    choices = {name: getattr(point, name) for name in ("norm", "activation", "initializer", "order")}
    branch = branches.build(point.branch, **choices)
    length = _blocks(point.depth, branch.layers)
    after = point.activation if point.order == "post" else "identity"
    block = Block(branch, connections.build(point.connection, length), after)
    stem, head = DenseStem(width=point.width, **choices), DenseHead(classes=classes, **choices)
    return Network(stem, (Stack(block, length, point.remat),), head)


def build(point: Point, classes: int) -> Network:
    """The network that a point asks for.

    Raises:
      UserError: an unknown name, or a depth that the architecture cannot have.
    """
    activations.build(point.activation)
    initializers.build(point.initializer)
    normalizers.build(point.norm)
    policies = [name for name in dir(jax.checkpoint_policies) if name.endswith("saveable")]
    if point.remat and point.remat not in policies:
        raise UserError(f"unknown remat policy {point.remat!r}: known are {', '.join(policies)}, or '' for none")
    return dense(point, classes)


def depths(point: Point) -> range:
    """The depths up to `point.depth` that its architecture can have.

    Raises:
      UserError: there is none.
    """
    layers = branches.build(point.branch).layers
    possible = range(2 + layers, point.depth + 1, layers)
    if not possible:
        _blocks(point.depth, layers)  # says why
    return possible


def _blocks(depth: int, layers: int) -> int:
    length, rest = divmod(depth - 2, layers)
    if rest or length < 1:
        below = 2 + max(length, 1) * layers
        nearest = [below] if depth < below else [below, below + layers]
        raise UserError(
            f"depth {depth}: a dense network with {layers} layers a branch has depth "
            f"2 + {layers}·blocks; nearest: {' and '.join(map(str, nearest))}"
        )
    return length


def parameter_count(params) -> int:
    """The number of trained numbers in a tree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
