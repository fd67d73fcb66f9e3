"""A network: stem → stages → head."""

import dataclasses
import functools
import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from resjax.squeezing import squeeze
from resjax.stack import Layers, Stack
from resjax.stochastic_depth import StochasticDepth


@dataclasses.dataclass(frozen=True)
class Network:
    """Images to logits. Parameters and state are dicts with the keys stem, stages, head.

    Blocks are numbered through all stages, first to last; arrays over the layers (`Layers`) and
    probe values span them all.
    """

    stem: nn.Module
    stages: tuple[Stack, ...]
    head: nn.Module
    dtype: str = ""  # what images are cast to and logits cast back from, as bfloat16; "" leaves them as they are
    stochastic_depth: StochasticDepth | None = None

    @property
    def length(self) -> int:
        """L, the number of blocks."""
        return sum(stack.length for stack in self.stages)

    @property
    def changes_shape(self) -> tuple[bool, ...]:
        """By block, L: whether the stream has another shape behind it. Such a block opens a stage."""
        return tuple(stack.block.branch.shared for stack in self.stages for _ in range(stack.length))

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of blocks of each stage; a stage may be several stacks."""
        ends = list(itertools.accumulate(stack.length for stack in self.stages))
        firsts = [
            end - stack.length
            for end, stack in zip(ends, self.stages, strict=True)
            if stack.block.branch.shared or stack.squeeze > 1
        ]
        return tuple(end - first for first, end in itertools.pairwise(sorted({0, *firsts, self.length})))

    @property
    def depth(self) -> int:
        """Weighted layers on the longest path: stem, branches and head (He et al. 2015)."""
        return self.stem.layers + sum(stack.length * stack.block.branch.layers for stack in self.stages) + 1

    @property
    def stride(self) -> int:
        """How many pixels of the image, in a row, one of the last stage stands for."""
        return math.prod(stack.block.branch.stride * stack.squeeze for stack in self.stages) * self.stem.stride

    def init(self, key, x):
        """Parameters and state for images shaped like x (B H W C)."""
        stem_key, head_key, *stage_keys = jax.random.split(key, 2 + len(self.stages))
        params, state = {"stages": []}, {"stages": []}
        x, params["stem"], state["stem"] = _init(self.stem, stem_key, x.astype(self.dtype or x.dtype))
        for stack, stage_key in zip(self.stages, stage_keys, strict=True):
            stack_params, stack_state = stack.init(stage_key, x)
            params["stages"].append(stack_params)
            state["stages"].append(stack_state)
            x, _, _ = jax.eval_shape(stack.apply, stack_params, stack_state, x)
            x = jnp.zeros(x.shape, x.dtype)  # the next stage's shapes are all that it is for
        _, params["head"], state["head"] = _init(self.head, head_key, x)
        return params, state

    def apply(self, params, state, x, layers=Layers(), *, train=False, probe=None, fork=None):
        """Runs images x (B H W C) through the network.

        Returns:
          logits (B K), the new state (the old one unless `train`), and the probe's values with a
          leading axis of L. For `layers`, `probe` and `fork` see `Stack.apply`; `layers.rows` is a tuple,
          an array a stack.
        """
        if self.stochastic_depth and not train:
            layers = self.stochastic_depth.evaluation(layers)
        elif self.stochastic_depth and layers.gates is not None:
            layers = self.stochastic_depth.training(layers, [stack.length for stack in self.stages], len(x))
        precision, x = x.dtype, x.astype(self.dtype or x.dtype)
        new_state, seen, first = {"stages": []}, [], 0
        keys = None if layers.key is None else jax.random.split(layers.key, len(self.stages))
        x, new_state["stem"] = _apply(self.stem, params["stem"], state["stem"], x, train)
        for stage, stack in enumerate(self.stages):
            here = slice(first, first + stack.length)
            own = Layers(
                alive=None if layers.alive is None else layers.alive[here],
                rows=None if layers.rows is None else layers.rows[stage],
                rate=None if layers.rate is None else layers.rate[here],
                order=None if layers.order is None else layers.order[here] - first,
                sink=jax.tree.map(lambda leaf, here=here: leaf[here], layers.sink),
                key=None if keys is None else keys[stage],
            )
            x, stage_state, stage_seen = stack.apply(
                params["stages"][stage], state["stages"][stage], x, own, train=train, probe=probe, fork=fork
            )
            new_state["stages"].append(stage_state)
            seen.append(stage_seen)
            first += stack.length
        logits, new_state["head"] = _apply(self.head, params["head"], state["head"], x, train)
        seen = jax.tree.map(lambda *stages: jnp.concatenate(stages), *seen) if seen else None
        return logits.astype(precision), new_state, seen


def _init(module, key, x):
    y, variables = module.init_with_output(key, x, train=False)
    variables = dict(variables)
    return y, variables.pop("params", {}), variables


def _apply(module, params, state, x, train):
    y, new_state = module.apply({"params": params, **state}, x, train=train, mutable=list(state) if train else [])
    return y, new_state if train else state


def parameter_count(params) -> int:
    """The number of trained numbers in a tree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def forward_flops(network: Network, x) -> float:
    """Floating-point operations of a forward pass of images shaped like x (B H W C).

    Counted by XLA, block by block, since it counts a loop once.
    """
    params, state = jax.eval_shape(network.init, jax.random.key(0), x)
    parts = [(network.stem, params["stem"], state["stem"], 1, 1)]
    for stack, *stacked in zip(network.stages, params["stages"], state["stages"], strict=True):
        one = jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), stacked)
        parts.append((stack.block, *one, stack.length, stack.squeeze))
    total = 0.0
    for module, own, own_state, times, side in [*parts, (network.head, params["head"], state["head"], 1, 1)]:
        x = jax.eval_shape(functools.partial(squeeze, side=side), x)
        lowered = jax.jit(functools.partial(module.apply, train=False)).lower({"params": own, **own_state}, x)
        total += times * lowered.cost_analysis()["flops"]
        shape = jax.tree.leaves(lowered.out_info)[0]  # of a block, the stream and F(x)
        x = jax.ShapeDtypeStruct(shape.shape, shape.dtype)
    return total
